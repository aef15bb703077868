/** The first page: where you are, how it stands there, and how much there is. */
import React, { useCallback, useEffect, useState } from 'react'
import { ApiClient, ViewHelpers, useCurrentAdmin, useTranslation } from 'adminjs'
import type { DashboardData, DashboardTile, TenantFigures } from '../dashboard-data.ts'
import type { AdminPerson } from '../person.ts'
import { Card } from './Charts.tsx'
import { FleetPanels, StorageChart } from './FleetFigures.tsx'
import { OwnCards } from './OwnCards.tsx'
import { bytesText, dayText } from './chart-figures.ts'
import { DASHBOARD_STYLE } from './dashboard-style.ts'
import { isDark } from './dark.ts'
import { useWords } from './words.ts'

/** How often a run in progress is looked at. */
const REFRESH_MS = 3_000

const Tiles: React.FC<{ tiles: readonly DashboardTile[] }> = ({ tiles }) => {
  const { translateLabel } = useTranslation()
  const { say, language } = useWords()
  const helpers = new ViewHelpers()
  if (tiles.length === 0) return null
  return (
    <section aria-label={say('Records')} data-testid="records">
      <h3>{say('Records')}</h3>
      <div className="tk-keys">
        {tiles.map(tile => (
          <a key={tile.resource} className="tk-key" href={helpers.resourceUrl({ resourceId: tile.resource })}>
            <span>{translateLabel(tile.label)}</span>
            <b>{tile.value.toLocaleString(language)}</b>
          </a>
        ))}
      </div>
    </section>
  )
}

const TenantPanels: React.FC<{ tenant: TenantFigures }> = ({ tenant: { status, schema_version, days } }) => {
  const { say, language } = useWords()
  const last = days.at(-1)
  const number = (value: number): string => value.toLocaleString(language)
  return (
    <>
      <section className="tk-keys" aria-label={say('Figures')} data-testid="key-figures">
        <div className="tk-key">
          <span>{say('Status')}</span>
          <b className="tk-text">{say(`Tenant${status}`)}</b>
        </div>
        <div className="tk-key">
          <span>{say('SchemaVersion')}</span>
          <b className="tk-text">{schema_version ?? say('NoVersion')}</b>
        </div>
        <div className="tk-key">
          <span>{say('Storage')}</span>
          <b>{last === undefined ? '–' : bytesText(last.bytes, language)}</b>
          <span>
            {last === undefined
              ? say('NotMeasured')
              : [
                  say('StorageNote', { day: dayText(last.day, language) }),
                  say('Tables', { count: number(last.tables) }),
                  say('Rows', { count: number(last.rows) }),
                ].join(', ')}
          </span>
        </div>
      </section>
      {last === undefined ? null : (
        <div className="tk-cards">
          <Card title={say('StorageOverTime')} name="storage" isFull>
            <StorageChart days={days} />
          </Card>
        </div>
      )}
    </>
  )
}

const Dashboard: React.FC = () => {
  const [data, setData] = useState<DashboardData | 'failed' | null>(null)
  const [current] = useCurrentAdmin()
  const person = current as AdminPerson | null
  const { say } = useWords()
  const load = useCallback(() => {
    new ApiClient().getDashboard().then(
      response => setData(response.data as DashboardData),
      () => setData(before => before ?? 'failed'),
    )
  }, [])
  useEffect(load, [load])
  const isRunning = data !== null && data !== 'failed' && data.fleet?.runs.some(({ status }) => status === 'running') === true
  useEffect(() => {
    if (!isRunning) return undefined
    const timer = setInterval(() => (document.visibilityState === 'visible' ? load() : undefined), REFRESH_MS)
    return () => clearInterval(timer)
  }, [isRunning, load])
  return (
    <div className="tk-dash" data-dark={isDark ? '' : undefined} data-testid="dashboard">
      <style>{DASHBOARD_STYLE}</style>
      <h2>{person?.tenant?.name ?? say('ControlPlane')}</h2>
      <OwnCards cards={data === null || data === 'failed' ? undefined : data.cards} />
      {data === null ? (
        <p className="tk-soft" role="status">
          {say('Loading')}
        </p>
      ) : data === 'failed' ? (
        <p role="alert">
          {say('NotLoaded')}{' '}
          <button type="button" onClick={load}>
            {say('Retry')}
          </button>
        </p>
      ) : (
        <>
          {data.fleet === undefined ? null : <FleetPanels fleet={data.fleet} />}
          {data.tenant === undefined ? null : <TenantPanels tenant={data.tenant} />}
          <Tiles tiles={data.tiles} />
        </>
      )}
    </div>
  )
}

export default Dashboard
