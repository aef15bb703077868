/** The first page: where you are, and how much there is. */
import React, { useEffect, useState } from 'react'
import { Box, H2, Loader, Text } from '@adminjs/design-system'
import { ApiClient, ViewHelpers, useCurrentAdmin, useTranslation } from 'adminjs'
import type { DashboardData } from '../dashboard.ts'
import type { AdminPerson } from '../person.ts'
import type { CardFigure } from '../pages.ts'
import { OwnCards } from './OwnCards.tsx'

const Dashboard: React.FC = () => {
  const [data, setData] = useState<DashboardData | null>(null)
  const [current] = useCurrentAdmin()
  const person = current as AdminPerson | null
  const { translateLabel } = useTranslation()
  useEffect(() => {
    new ApiClient().getDashboard().then(
      response => setData(response.data as DashboardData),
      () => setData({ tiles: [] }),
    )
  }, [])
  const helpers = new ViewHelpers()
  return (
    <Box p="xl">
      <H2>{person?.tenant?.name ?? 'Control plane'}</H2>
      <OwnCards cards={(data as { cards?: readonly CardFigure[] } | null)?.cards} />
      {data === null ? (
        <Loader />
      ) : (
        <Box mt="xl" style={{ display: 'grid', gridTemplateColumns: 'repeat(auto-fill, minmax(180px, 1fr))', gap: 16 }}>
          {data.tiles.map(tile => (
            <Box
              key={tile.resource}
              as="a"
              href={helpers.resourceUrl({ resourceId: tile.resource })}
              variant="white"
              p="xl"
              boxShadow="card"
              style={{ textDecoration: 'none', color: 'inherit' }}
            >
              <Text>{translateLabel(tile.label)}</Text>
              <Text style={{ fontSize: 32, lineHeight: 1.4 }}>{tile.value.toLocaleString()}</Text>
            </Box>
          ))}
        </Box>
      )}
    </Box>
  )
}

export default Dashboard
