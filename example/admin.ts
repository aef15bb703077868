/** The back office: what it is told beyond the entities. */
import { em, hashPassword } from 'mikro-tenantkit'
import type { Tenancy } from 'mikro-tenantkit'
import { accountsOf, createAdminPanel } from 'mikro-tenantkit/admin'
import type { AdminLog, AdminPage, AdminPanel } from 'mikro-tenantkit/admin'
import { Invoice } from './entities/tenant.ts'
import { User } from './entities/user.ts'

const STATUSES = ['draft', 'sent', 'paid']

/** A page of our own: the panel draws what it gives, so that nothing has to be built for the browser. */
const openInvoices: AdminPage = {
  label: 'Open invoices',
  icon: 'Inbox',
  in: 'tenant',
  permission: 'data:read',
  content: async () => {
    const open = await em().find(Invoice, { status: 'sent' }, { populate: ['customer'], orderBy: { total: 'desc' }, limit: 20 })
    const figures = []
    for (const status of STATUSES) figures.push({ label: status, value: await em().count(Invoice, { status }) })
    return [
      { figures },
      { heading: 'Sent and not paid' },
      {
        columns: ['Number', 'Customer', 'Total'],
        rows: open.map(each => [each.number, each.customer.name, `${each.total} ${each.currency}`]),
      },
    ]
  },
}

/** The back office of the example, at `/admin`. AdminJS is loaded when somebody goes there. */
export function backOffice(tenancy: Tenancy, log: AdminLog): AdminPanel {
  return createAdminPanel(tenancy, {
    accounts: accountsOf(User),
    title: 'Billing back office',
    pages: { OpenInvoices: openInvoices },
    cards: {
      unpaid: { label: 'Invoices to be paid', in: 'tenant', permission: 'data:read', value: () => em().count(Invoice, { status: 'sent' }) },
    },
    translations: {
      es: {
        labels: {
          Customer: 'Clientes',
          Tag: 'Etiquetas',
          Product: 'Productos',
          Invoice: 'Facturas',
          InvoiceLine: 'Líneas de factura',
          User: 'Usuarios',
        },
        pages: { OpenInvoices: 'Facturas pendientes' },
        messages: {
          draft: 'Borrador',
          sent: 'Enviadas',
          paid: 'Pagadas',
          Number: 'Número',
          Customer: 'Cliente',
          Total: 'Importe',
          'Sent and not paid': 'Enviadas y no pagadas',
          'Invoices to be paid': 'Facturas por cobrar',
          'Mark this invoice as paid?': '¿Marcar esta factura como pagada?',
        },
        resources: { Invoice: { actions: { markPaid: 'Marcar como pagada' } } },
      },
    },
    log,
    resources: {
      User: { permission: 'users:write', passwords: { passwordHash: hashPassword }, values: { role: ['admin', 'member', 'viewer'] } },
      SharedUser: {
        permission: 'users:write',
        passwords: { passwordHash: hashPassword },
        values: { role: ['owner', 'operator', 'auditor'] },
      },
      Invoice: {
        values: { status: STATUSES },
        order: ['number', 'customer', 'status'],
        labels: { number: 'Invoice number' },
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
