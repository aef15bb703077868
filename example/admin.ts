/** The back office: what it is told beyond the entities. */
import { em } from 'mikro-tenantkit'
import type { Tenancy } from 'mikro-tenantkit'
import { accountsOf, createAdminPanel } from 'mikro-tenantkit/admin'
import type { AdminLog, AdminPanel } from 'mikro-tenantkit/admin'
import { Invoice } from './entities/tenant.ts'
import { User } from './entities/user.ts'

/** The back office of the example, at `/admin`. AdminJS is loaded when somebody goes there. */
export function backOffice(tenancy: Tenancy, log: AdminLog): AdminPanel {
  return createAdminPanel(tenancy, {
    accounts: accountsOf(User),
    title: 'Billing back office',
    log,
    resources: {
      User: { permission: 'users:write', values: { role: ['admin', 'member', 'viewer'] } },
      SharedUser: { permission: 'users:write', values: { role: ['owner', 'operator', 'auditor'] } },
      Invoice: {
        values: { status: ['draft', 'sent', 'paid'] },
        // The total follows from the lines.
        readOnly: ['total'],
        actions: {
          markPaid: {
            label: 'Mark as paid',
            question: 'Mark this invoice as paid?',
            icon: 'CheckCircle',
            isAccessible: ({ record }) => record?.param('status') !== 'paid',
            run: async ({ id }) => {
              const invoice = await em().findOneOrFail(Invoice, { id })
              invoice.status = 'paid'
              await em().flush()
              return `Invoice ${invoice.number} is paid.`
            },
          },
        },
      },
    },
  })
}
