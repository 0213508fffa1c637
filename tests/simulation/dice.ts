import {seededRandom} from '../../src/drivers/simulated-machine.ts'

/** Chance from a seed. Each part of a simulation has its own, so that a change in one does not move the others. */
export interface Dice {
  next(): number
  /** A whole number from 0 to bound − 1. */
  below(bound: number): number
  chance(share: number): boolean
  /** Undefined only from nothing. */
  pick<Value>(from: readonly Value[]): Value | undefined
}

export function diceOf(seed: number): Dice {
  const next = seededRandom(seed)
  const below = (bound: number): number => Math.floor(next() * bound)
  return {next, below, chance: share => next() < share, pick: from => from[below(from.length)]}
}

export function uuidFrom(next: () => number): string {
  const hex = Array.from({length: 32}, () => Math.floor(next() * 16).toString(16)).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
}

/** A seed for the part of this number. */
export function mixed(seed: number, part: number): number {
  return Math.floor(seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(part + 1, 0x85ebca6b))() * 4_294_967_296)
}
