/** All mutants. */
import { CONTEXT_MUTANTS } from './context-mutants.ts'
import type { Mutant } from './mutant.ts'
import { PART_MUTANTS } from './part-mutants.ts'
import { PLANE_MUTANTS } from './plane-mutants.ts'
import { STRICT_MUTANTS } from './strict-mutants.ts'
import { TENANT_MUTANTS } from './tenant-mutants.ts'

export const MUTANTS: readonly Mutant[] = [...TENANT_MUTANTS, ...CONTEXT_MUTANTS, ...PLANE_MUTANTS, ...PART_MUTANTS, ...STRICT_MUTANTS]
