/** The fleet on the first page: statuses, versions, runs, failures, growth and storage. */
import React, { useState } from 'react'
import { ViewHelpers } from 'adminjs'
import type { Failure, FleetFigures, RunFigures, StorageFigures, TenantGrowth, WaveFigures } from '../dashboard-data.ts'
import { BarTable, Card, TimeChart } from './Charts.tsx'
import { byWeek, bytesText, changeText, dayText, timeText } from './chart-figures.ts'
import { useWords } from './words.ts'

const STATES = ['applied', 'failed', 'skipped', 'running', 'pending'] as const

const listOf = (status: string): string =>
  `${new ViewHelpers().resourceUrl({ resourceId: 'Tenant' })}?filters.status=${encodeURIComponent(status)}`
const pageOf = (id: string): string => new ViewHelpers().recordActionUrl({ resourceId: 'Tenant', recordId: id, actionName: 'show' })

/** The numbers that an operator looks for first. */
const Keys: React.FC<{ fleet: FleetFigures }> = ({ fleet: { statuses, behind, storage } }) => {
  const { say, language } = useWords()
  const of = (...names: readonly string[]): number =>
    statuses.filter(({ status }) => names.includes(status)).reduce((sum, { tenants }) => sum + tenants, 0)
  const all = statuses.filter(({ status }) => status !== 'purged').reduce((sum, { tenants }) => sum + tenants, 0)
  return (
    <section className="tk-keys" aria-label={say('Figures')} data-testid="key-figures">
      <a className="tk-key" href={new ViewHelpers().resourceUrl({ resourceId: 'Tenant' })}>
        <span>{say('Tenants')}</span>
        <b>{all.toLocaleString(language)}</b>
        <span>{say('TenantsNote', { count: of('ready').toLocaleString(language) })}</span>
      </a>
      <div className="tk-key">
        <span>{say('Behind')}</span>
        <b>{behind.toLocaleString(language)}</b>
        <span>{say('BehindNote')}</span>
      </div>
      <a className="tk-key" href={listOf('failed')}>
        <span>{say('Failed')}</span>
        <b className={of('failed') > 0 ? 'tk-bad' : ''}>{of('failed').toLocaleString(language)}</b>
        <span>{say('FailedNote')}</span>
      </a>
      <div className="tk-key">
        <span>{say('Storage')}</span>
        <b>{storage === null ? '–' : bytesText(storage.bytes, language)}</b>
        <span>{storage === null ? say('NotMeasured') : say('StorageNote', { day: dayText(storage.day, language) })}</span>
      </div>
    </section>
  )
}

const Statuses: React.FC<{ fleet: FleetFigures }> = ({ fleet }) => {
  const { say, language } = useWords()
  return (
    <Card title={say('ByStatus')} name="statuses">
      {fleet.statuses.length === 0 ? <p className="tk-soft">{say('NoTenants')}</p> : null}
      <BarTable
        heads={[say('Status'), say('Tenants')]}
        bars={fleet.statuses.map(({ status, tenants }) => ({
          key: status,
          label: <a href={listOf(status)}>{say(`Tenant${status}`)}</a>,
          value: tenants,
          text: tenants.toLocaleString(language),
        }))}
      />
    </Card>
  )
}

const Versions: React.FC<{ fleet: FleetFigures }> = ({ fleet }) => {
  const { say, language } = useWords()
  return (
    <Card title={say('ByVersion')} name="versions">
      {fleet.versions.length === 0 ? <p className="tk-soft">{say('NoTenants')}</p> : null}
      <BarTable
        heads={[say('Version'), say('Tenants'), say('Status')]}
        bars={fleet.versions.map(({ version, tenants, current }) => ({
          key: `${version} ${current}`,
          label: version ?? say('NoVersion'),
          value: tenants,
          text: tenants.toLocaleString(language),
          note: current ? `✓ ${say('Current')}` : `↑ ${say('Old')}`,
          other: current,
        }))}
      />
    </Card>
  )
}

const Wave: React.FC<{ wave: WaveFigures }> = ({ wave }) => {
  const { say, language } = useWords()
  const total = STATES.reduce((sum, state) => sum + wave[state], 0)
  const said = STATES.filter(state => wave[state] > 0).map(
    state => `${wave[state].toLocaleString(language)} ${say(`State${cased(state)}`)}`,
  )
  return (
    <tr>
      <th scope="row">{wave.wave === 0 ? say('Canary') : say('WaveNumber', { number: wave.wave })}</th>
      <td className="tk-track" aria-hidden="true">
        <div>
          {STATES.filter(state => wave[state] > 0).map(state => (
            <i key={state} className={`tk-${state}`} style={{ width: `${(wave[state] / total) * 100}%` }} />
          ))}
        </div>
      </td>
      <td>{said.join(', ')}</td>
    </tr>
  )
}

const Run: React.FC<{ run: RunFigures }> = ({ run: { id, status, actor, started_at, reason, waves } }) => {
  const { say, language } = useWords()
  const used = STATES.filter(state => waves.some(wave => wave[state] > 0))
  return (
    <div className="tk-run">
      <h4>{say('Run', { id })}</h4>
      <p className="tk-soft">
        {say('RunBy', { status: say(`Status${status}`), time: timeText(started_at, language), actor })}
        {reason === null ? '' : `: ${reason}`}
      </p>
      <table className="tk-bars tk-waves">
        <thead className="tk-hidden">
          <tr>
            <th scope="col">{say('Wave')}</th>
            <td />
            <th scope="col">{say('Progress')}</th>
          </tr>
        </thead>
        <tbody>
          {waves.map(wave => (
            <Wave key={wave.wave} wave={wave} />
          ))}
        </tbody>
      </table>
      <p className="tk-legend" aria-hidden="true">
        {used.map(state => (
          <span key={state}>
            <span className="tk-track">
              <div>
                <i className={`tk-${state}`} style={{ width: '100%' }} />
              </div>
            </span>
            {say(`State${cased(state)}`)}
          </span>
        ))}
      </p>
    </div>
  )
}

const Runs: React.FC<{ runs: readonly RunFigures[] }> = ({ runs }) => {
  const { say } = useWords()
  const isRunning = runs.some(({ status }) => status === 'running')
  return (
    <Card title={say(isRunning ? 'RunsInProgress' : 'LastRun')} name="runs">
      {runs.length === 0 ? <p className="tk-soft">{say('NoRuns')}</p> : null}
      {runs.map(run => (
        <Run key={run.id} run={run} />
      ))}
    </Card>
  )
}

const Failures: React.FC<{ failures: readonly Failure[] }> = ({ failures }) => {
  const { say, language } = useWords()
  return (
    <Card title={say('Failures')} name="failures">
      {failures.length === 0 ? (
        <p className="tk-soft">{say('NoFailures')}</p>
      ) : (
        <table className="tk-rule tk-stack">
          <thead>
            <tr>
              <th scope="col">{say('When')}</th>
              <th scope="col">{say('Who')}</th>
              <th scope="col">{say('What')}</th>
              <th scope="col">{say('Code')}</th>
            </tr>
          </thead>
          <tbody>
            {failures.map(({ at, tenant, tenant_id, what, code, reason }) => (
              <tr key={`${at} ${tenant} ${what}`}>
                <td className="tk-time">{timeText(at, language)}</td>
                <td className="tk-anywhere">{tenant_id === null ? tenant : <a href={pageOf(tenant_id)}>{tenant}</a>}</td>
                <td>{what.replaceAll('_', ' ')}</td>
                <td className="tk-anywhere">
                  <span className="tk-bad">{code}</span>
                  {reason === null ? null : <div className="tk-soft">{reason}</div>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Card>
  )
}

const Growth: React.FC<{ growth: TenantGrowth }> = ({ growth: { before, days } }) => {
  const { say, language } = useWords()
  const [isByDay, setByDay] = useState(false)
  const shown = isByDay ? days.slice(-28) : byWeek(days)
  const made = shown.reduce((sum, { tenants }) => sum + tenants, 0)
  const all = before + days.reduce((sum, { tenants }) => sum + tenants, 0)
  let line = all - made
  const points = shown.map(({ day, tenants }) => ({ label: dayText(day, language), bar: tenants, line: (line += tenants) }))
  const values = { made: made.toLocaleString(language), from: points[0]?.label ?? '', all: all.toLocaleString(language) }
  return (
    <Card title={say('Growth')} name="growth">
      <div className="tk-choice" role="group" aria-label={say('Growth')}>
        {[false, true].map(each => (
          <button key={String(each)} type="button" aria-pressed={isByDay === each} onClick={() => setByDay(each)}>
            {say(each ? 'GrowthDays' : 'GrowthWeeks')}
          </button>
        ))}
      </div>
      <TimeChart
        points={points}
        summary={say('GrowthSummary', values)}
        heads={[say(isByDay ? 'Day' : 'WeekOf'), say('Created'), say('EverCreated')]}
        format={value => value.toLocaleString(language)}
        showTable={say('ShowTable')}
      />
    </Card>
  )
}

const Storage: React.FC<{ storage: StorageFigures | null }> = ({ storage }) => {
  const { say } = useWords()
  if (storage === null)
    return (
      <Card title={say('StorageOverTime')} name="storage">
        <p className="tk-soft">{say('MeasureHint')}</p>
      </Card>
    )
  return (
    <Card title={say('StorageOverTime')} name="storage">
      <StorageChart days={storage.days} />
    </Card>
  )
}

/** Bytes by day, of a tenant or of all. */
export const StorageChart: React.FC<{ days: readonly { readonly day: string; readonly bytes: number }[] }> = ({ days }) => {
  const { say, language } = useWords()
  const format = (bytes: number): string => bytesText(bytes, language)
  const [first, last] = [days[0]!, days.at(-1)!]
  const [day, from] = [dayText(last.day, language), dayText(first.day, language)]
  const summary =
    days.length === 1
      ? say('StorageOne', { bytes: format(last.bytes), day })
      : say('StorageSummary', { bytes: format(last.bytes), day, change: changeText(last.bytes, first.bytes, language), from })
  return (
    <TimeChart
      points={days.map(each => ({ label: dayText(each.day, language), line: each.bytes }))}
      summary={summary}
      heads={[say('Day'), say('Storage')]}
      format={format}
      showTable={say('ShowTable')}
    />
  )
}

const Largest: React.FC<{ storage: StorageFigures }> = ({ storage: { largest } }) => {
  const { say, language } = useWords()
  return (
    <Card title={say('Largest')} name="largest" isFull>
      <BarTable
        heads={[say('Who'), say('Storage'), say('Change')]}
        bars={largest.map(({ id, tenant, bytes, bytes_before, day_before }) => ({
          key: id,
          label: <a href={pageOf(id)}>{tenant}</a>,
          value: bytes,
          text: bytesText(bytes, language),
          note:
            bytes_before === null || day_before === null ? (
              say('New')
            ) : (
              <span title={say('Since', { day: dayText(day_before, language) })}>{changeText(bytes, bytes_before, language)}</span>
            ),
        }))}
      />
    </Card>
  )
}

/** All of it. */
export const FleetPanels: React.FC<{ fleet: FleetFigures }> = ({ fleet }) => (
  <>
    <Keys fleet={fleet} />
    <div className="tk-cards">
      <Statuses fleet={fleet} />
      <Versions fleet={fleet} />
      <Runs runs={fleet.runs} />
      <Failures failures={fleet.failures} />
      <Growth growth={fleet.growth} />
      <Storage storage={fleet.storage} />
      {fleet.storage === null ? null : <Largest storage={fleet.storage} />}
    </div>
  </>
)

function cased(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}
