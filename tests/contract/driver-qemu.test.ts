import {describe} from 'vitest'
import {missingForGuests} from '../support/qemu-guest.ts'
import {qemuRig} from '../support/qemu-guest-rig.ts'
import {driverContract} from './driver-contract.ts'

describe.skipIf((await missingForGuests()) !== null)('real machines', () => {
  driverContract('qemu', qemuRig)
})
