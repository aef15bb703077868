/**
 * What the server says in whole sentences: notices, problems at fields, small pages. They are written in English where they arise, and put
 * into the reader's language on their way out. `{0}` stands for a value. What is not here, such as an application's own, stays as it is.
 */
import type { Language } from './words.ts'

const SPANISH: Readonly<Record<string, string>> = {
  // Problems at fields
  Required: 'Obligatorio',
  'Already taken': 'Ya está en uso',
  'Invalid JSON': 'JSON no válido',
  'Refers to nothing': 'No se refiere a nada',
  'Not a UUID': 'No es un UUID',
  'Not a time such as 09:30': 'No es una hora como 09:30',
  'Not a single value': 'No es un solo valor',
  'Holds a character that cannot be stored': 'Contiene un carácter que no se puede guardar',
  'At most {0} characters': 'Como máximo {0} caracteres',
  'At most {0} records': 'Como máximo {0} registros',
  'At least {0} characters': 'Como mínimo {0} caracteres',
  'Not an allowed value': 'No es un valor permitido',
  'Neither true nor false': 'Ni verdadero ni falso',
  'Not a date and time': 'No es una fecha con hora',
  'Not a date': 'No es una fecha',
  'Not a whole number': 'No es un número entero',
  'Between {0} and {1}': 'Entre {0} y {1}',
  'Too large': 'Demasiado grande',
  'Not a decimal number such as 19.90': 'No es un número decimal como 19.90',
  'At most {0} digits after the point': 'Como máximo {0} cifras después del punto',
  'At most {0} digits before the point': 'Como máximo {0} cifras antes del punto',
  'Not a number': 'No es un número',
  'Not a list': 'No es una lista',
  // Notices
  'The record is gone.': 'El registro ya no existe.',
  'The record is deleted. Restore it first.': 'El registro está eliminado. Restáurelo primero.',
  'Someone else changed this record meanwhile. Reload it, then repeat the change.':
    'Otra persona cambió este registro entretanto. Vuelva a cargarlo y repita el cambio.',
  'Other records refer to this one, or one that it refers to is gone.':
    'Otros registros se refieren a este, o ya no existe uno al que este se refiere.',
  'Another change came between. Try again.': 'Otro cambio se interpuso. Vuelva a intentarlo.',
  'The database refused a value: out of range, too long, or against a rule of the table.':
    'La base de datos rechazó un valor: fuera de rango, demasiado largo o contra una regla de la tabla.',
  'A record with these values exists already.': 'Ya existe un registro con estos valores.',
  'A value is missing: {0}.': 'Falta un valor: {0}.',
  'Type {0} to confirm. Nothing was changed.': 'Escriba {0} para confirmar. No se cambió nada.',
  'No deleted record was chosen. Nothing was changed.': 'No se eligió ningún registro eliminado. No se cambió nada.',
  'This was refused. Nothing was changed.': 'Esto fue rechazado. No se cambió nada.',
  Refused: 'Rechazado',
  '{0} restored': '{0} restaurados',
  '{0} deleted permanently': '{0} eliminados definitivamente',
  '{0} deleted': '{0} eliminados',
  // What actions ask
  'Restore?': '¿Restaurar?',
  'What was deleted together with it is restored as well.': 'También se restaura lo que se eliminó junto con ello.',
  'Restore? What was deleted together with it is restored as well.': '¿Restaurar? También se restaura lo que se eliminó junto con ello.',
  Restore: 'Restaurar',
  'Delete permanently?': '¿Eliminar definitivamente?',
  'There is no way back.': 'No hay vuelta atrás.',
  'Delete permanently? There is no way back.': '¿Eliminar definitivamente? No hay vuelta atrás.',
  'Delete permanently': 'Eliminar definitivamente',
  'Delete these records?': '¿Eliminar estos registros?',
  'They are hidden, and can be restored.': 'Quedan ocultos y se pueden restaurar.',
  'They are gone for good.': 'Desaparecen para siempre.',
  Delete: 'Eliminar',
  // What the registry asks and tells
  'Provision & migrate': 'Aprovisionar y migrar',
  'Make what is missing, and apply all migrations?': '¿Crear lo que falta y aplicar todas las migraciones?',
  Provision: 'Aprovisionar',
  'Make what is missing?': '¿Crear lo que falta?',
  Migrate: 'Migrar',
  'Apply all migrations?': '¿Aplicar todas las migraciones?',
  Suspend: 'Suspender',
  'Refuse this tenant to everyone until it is resumed?': '¿Negar este inquilino a todos hasta que se reanude?',
  Resume: 'Reanudar',
  'Let this tenant serve again?': '¿Dejar que este inquilino vuelva a servir?',
  Archive: 'Archivar',
  'Refuse this tenant to everyone? All its data is kept, and it can be restored.':
    '¿Negar este inquilino a todos? Se conservan todos sus datos y se puede restaurar.',
  'Return to the former status?': '¿Volver al estado anterior?',
  'Drop the data of this tenant? There is no way back.': '¿Eliminar los datos de este inquilino? No hay vuelta atrás.',
  '{0} is archived.': '{0} está archivado.',
  // Small pages
  'This request cannot be read': 'No se puede leer esta petición',
  'Go back, then try again.': 'Vuelva atrás e inténtelo de nuevo.',
  'You are not allowed to do this': 'No tiene permiso para hacer esto',
  'Reload the page, then try again; or ask somebody who may.':
    'Vuelva a cargar la página e inténtelo de nuevo, o pida ayuda a quien pueda.',
  'There is nothing here': 'No hay nada aquí',
  'It may have been removed, or you may not see it.': 'Puede que se haya eliminado o que usted no pueda verlo.',
  'This cannot be done here': 'Esto no se puede hacer aquí',
  'This tenant is closed': 'Este inquilino está cerrado',
  'Its data is kept. Ask an operator.': 'Sus datos se conservan. Pregunte a un operador.',
  'This is too large': 'Esto es demasiado grande',
  'Send less at once.': 'Envíe menos de una vez.',
  'Not available just now': 'No disponible en este momento',
  'Try again in a moment.': 'Inténtelo de nuevo en un momento.',
  'Something went wrong': 'Algo salió mal',
  'It was written down. Try again; if it stays, tell an operator the number below.':
    'Quedó anotado. Inténtelo de nuevo; si continúa, diga a un operador el número de abajo.',
  'To the start': 'Al inicio',
  'Enter {0}?': '¿Entrar a {0}?',
  'You stay {0}: what you change there carries your name. After {1} minutes you are asked again.':
    'Sigue siendo {0}: lo que cambie allí llevará su nombre. Después de {1} minutos se le preguntará de nuevo.',
  'Enter the tenant': 'Entrar al inquilino',
  Back: 'Volver',
  'System ({0})': 'Sistema ({0})',
  Operator: 'Operador',
  '{0} (operator)': '{0} (operador)',
}

const PATTERNS = Object.entries(SPANISH)
  .filter(([english]) => english.includes('{0}'))
  .map(([english, spanish]) => {
    const source = english.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{\d\}/g, '(.+)')
    return [new RegExp(`^${source}$`, 's'), spanish] as const
  })

/** Whether a sentence can be said in every language. */
export function isKnown(english: string): boolean {
  return Object.hasOwn(SPANISH, english)
}

/** A sentence of ours in a language. */
export function say(language: Language, english: string): string {
  if (language === 'en') return english
  if (Object.hasOwn(SPANISH, english)) return SPANISH[english]!
  for (const [pattern, spanish] of PATTERNS) {
    const match = pattern.exec(english)
    if (match !== null) return spanish.replace(/\{(\d)\}/g, (_, at: string) => match[Number(at) + 1] ?? '')
  }
  return english
}

/** A replacer for JSON of AdminJS: puts what actions ask, notices, and problems at fields into a language. */
export function saying(language: Language): (key: string, value: unknown) => unknown {
  return (key, value) => {
    if (typeof value !== 'object' || value === null) return value
    // A phrase is compared on the server, as it is.
    if (key === 'custom') return mapped(value, (each, name) => (typeof each === 'string' && name !== 'phrase' ? say(language, each) : each))
    if (key === 'notice') return said(language, value)
    return key === 'errors' ? mapped(value, each => (typeof each === 'object' && each !== null ? said(language, each) : each)) : value
  }
}

function said(language: Language, value: object): object {
  const { message } = value as { readonly message?: unknown }
  return typeof message === 'string' ? { ...value, message: say(language, message) } : value
}

function mapped(value: object, change: (each: unknown, name: string) => unknown): unknown {
  return Array.isArray(value) ? value : Object.fromEntries(Object.entries(value).map(([name, each]) => [name, change(each, name)]))
}
