/** Another node, of this process or of another, works in the folder. */
export class DataFolderInUse extends Error {
  override readonly name = 'DataFolderInUse'
}
