/** The three looks at an installation: `check` before it starts, `doctor` at the server around it, `drift` at the tables of its tenants. */
import { checkTenancy, type CheckOptions } from './check.ts'
import { doctorChecks } from './doctor.ts'
import { DriftSearch, type DriftContext, type DriftOptions, type DriftReport } from './drift.ts'
import { diagnose, type CheckFinding } from './finding.ts'
import type { HistoryCheckOptions } from './history-check.ts'

export type DiagnosisContext = CheckOptions & DriftContext & HistoryCheckOptions

export class Diagnosis {
  readonly #context: DiagnosisContext

  constructor(context: DiagnosisContext) {
    this.#context = context
  }

  check(): Promise<readonly CheckFinding[]> {
    return checkTenancy(this.#context)
  }

  doctor(): Promise<readonly CheckFinding[]> {
    return diagnose(doctorChecks(this.#context))
  }

  drift(options: DriftOptions): Promise<DriftReport> {
    return new DriftSearch(this.#context).run(options)
  }
}
