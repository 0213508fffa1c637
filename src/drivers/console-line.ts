import {DriverError} from './port.ts'

/** One line of printable text: a line break would smuggle in a second command. @throws DriverError `permanent` */
export function checkConsoleLine(line: string): void {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (line.length === 0 || line.length > 1000 || /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(line)) {
    throw new DriverError('permanent', 'a console line is 1 to 1000 printable characters')
  }
}

// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const escapeSequences = new RegExp('\u001b(?:\\[[0-9;?]*[ -/]*[@-~]|[@-_])', 'g')
// oxlint-disable-next-line no-control-regex -- as above
const controls = new RegExp('[\u0000-\u0008\u000a-\u001f\u007f-\u009f]', 'g')

/** What a guest printed, made harmless for a person's terminal or page: no escape sequences, no controls, bounded. */
export function plainLine(raw: string): string {
  return raw.slice(0, 4000).replace(escapeSequences, '').replace(controls, '')
}
