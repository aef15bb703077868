/** All mutants. */
import type { Mutant } from './mutant.ts'
import { PLANE_MUTANTS } from './plane-mutants.ts'
import { TENANT_MUTANTS } from './tenant-mutants.ts'

export const MUTANTS: readonly Mutant[] = [...TENANT_MUTANTS, ...PLANE_MUTANTS]
