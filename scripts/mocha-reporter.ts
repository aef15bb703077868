/**
 * Mocha's `spec` reporter with one more line at the end, `N passed, N failed, N skipped`, which says the same however long the failures are.
 * With MOCHA_TOTALS_FILE set, the three numbers are appended to that file, so that `.ci/run` can sum several runs.
 */
import { appendFileSync } from 'node:fs'
import Mocha from 'mocha'

export class TotalsReporter extends Mocha.reporters.Spec {
  override epilogue(): void {
    super.epilogue()
    const { passes, failures, pending } = this.stats
    const file = process.env['MOCHA_TOTALS_FILE']
    if (file) appendFileSync(file, `${passes} ${failures} ${pending}\n`)
    Mocha.reporters.Base.consoleLog('%d passed, %d failed, %d skipped', passes, failures, pending)
  }
}

// Mocha takes a reporter module's default export.
export default TotalsReporter
