import type { InferEntity } from '@mikro-orm/postgresql'
import { em } from 'mikro-tenantkit'
import { parse } from 'mikro-tenantkit/koa'
import { z } from 'zod'
import { Customer } from '../entities/tenant.ts'
import { auditJson } from './resource.ts'
import type { Resource } from './resource.ts'

const fields = { name: z.string().trim().min(1).max(200), email: z.email().max(254) }
const created = z.strictObject(fields)
const changed = z.strictObject(fields).partial()

/** `/api/customers` */
export const customers: Resource<InferEntity<typeof Customer>> = {
  path: '/api/customers',
  what: 'customer',
  entity: Customer,
  async create(body) {
    const { name, email } = parse(created, body)
    const row = em().create(Customer, { name, email })
    em().persist(row)
    return row
  },
  async update(row, body) {
    const { name, email } = parse(changed, body)
    row.name = name ?? row.name
    row.email = email ?? row.email
  },
  async toJson(rows) {
    return rows.map(row => ({ id: row.id, name: row.name, email: row.email, ...auditJson(row) }))
  },
}
