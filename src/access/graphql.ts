import type {UserRow} from '../../projections/users.ts'
import {hasRole, type CallerRefusal} from '../dispatch/caller.ts'
import {builder, roleEnum} from '../graphql/builder.ts'
import {isOperator, requireCaller, requireOperator, type RequestContext} from '../graphql/context.ts'
import {badInput, notFound} from '../graphql/errors.ts'
import {idInput, keyInput, textInput} from '../graphql/inputs.ts'
import {pageOf} from '../graphql/paging.ts'
import {userRef} from '../graphql/refs.ts'
import {answered, defineRefusal, payloadUnion, positionDescription, type Written} from '../graphql/refusals.ts'
import type {UserRefusal} from './decider.ts'

const nameCharactersMax = 100

builder.node(userRef, {
  description: 'A person. Everybody sees themselves, operators see all.',
  id: {resolve: ({userId}) => userId},
  loadOne: (id, context) => visibleUser(context, id),
  fields: t => ({
    displayName: t.string({
      nullable: true,
      description: 'Null once the person’s data was erased.',
      resolve: (row, _args, {parts}) => parts.people.nameOf(row),
    }),
    roles: t.field({type: [roleEnum], resolve: ({roles}) => [...roles]}),
    registeredAt: t.field({type: 'DateTime', resolve: ({registeredAt}) => registeredAt}),
  }),
})

function visibleUser(context: RequestContext, userId: string): UserRow | null {
  const caller = requireCaller(context)
  if (caller.userId !== userId && !isOperator(context)) return null
  return context.parts.queries.users.user(userId)
}

const usersConnection = builder.connectionObject({type: userRef, name: 'UserConnection'}, {name: 'UserEdge'})

builder.queryFields(t => ({
  viewer: t.field({
    type: userRef,
    description: 'Who asks.',
    resolve(_root, _args, context) {
      const row = visibleUser(context, requireCaller(context).userId)
      if (row === null) throw notFound()
      return row
    },
  }),
  users: t.connection(
    {
      type: userRef,
      description: 'Operators only. By id; read forwards only.',
      resolve(_root, args, context) {
        requireOperator(context)
        const backwards = (['last', 'before'] as const).find(name => (args[name] ?? null) !== null)
        if (backwards !== undefined) throw badInput(backwards, 'This list is read forwards only: use first and after.')
        return pageOf<UserRow, string>(args, {
          placeOf: ({userId}) => [userId],
          parsePlace: ([id]) => (typeof id === 'string' ? id : null),
          load: ({after, limit}) => context.parts.queries.users.users(after, limit),
        })
      },
    },
    usersConnection,
  ),
}))

defineRefusal<Extract<UserRefusal, {type: 'NoSuchUser'}>>('NoSuchUser', {
  code: 'NOT_FOUND',
  message: () => 'There is no such user.',
})

const userSuccess = <Name extends string>(name: Name) =>
  builder.objectRef<Written & {readonly userId: string}>(name).implement({
    fields: t => ({
      user: t.field({
        type: userRef,
        nullable: true,
        description: 'Null while this node has not read it back; ask again with `position`.',
        resolve: ({userId}, _args, {parts}) => parts.queries.users.user(userId),
      }),
      position: t.exposeString('position', {description: positionDescription}),
    }),
  })

const refusals = {NoSuchUser: true, Forbidden: true, IdempotencyKeyReused: true} as const
const registerUserPayload = payloadUnion<UserRefusal | CallerRefusal>()(
  'RegisterUserPayload',
  userSuccess('RegisterUserSuccess'),
  refusals,
)
const changeRolesPayload = payloadUnion<UserRefusal | CallerRefusal>()(
  'ChangeRolesPayload',
  userSuccess('ChangeRolesSuccess'),
  refusals,
)

const registerUserInput = builder.inputType('RegisterUserInput', {
  fields: t => ({
    idempotencyKey: t.string({required: true}),
    displayName: t.string({required: true}),
    roles: t.field({type: [roleEnum], required: true}),
  }),
})

const changeRolesInput = builder.inputType('ChangeRolesInput', {
  fields: t => ({
    idempotencyKey: t.string({required: true}),
    userId: t.id({required: true}),
    roles: t.field({type: [roleEnum], required: true, description: 'All roles the user is to have.'}),
  }),
})

builder.mutationFields(t => ({
  registerUser: t.field({
    type: registerUserPayload,
    description: 'Operators register customers; owners register anybody.',
    args: {input: t.arg({type: registerUserInput, required: true})},
    resolve(_root, {input}, context) {
      const caller = requireCaller(context)
      const idempotencyKey = keyInput(input.idempotencyKey)
      const displayName = textInput('displayName', input.displayName, nameCharactersMax)
      const roles = [...new Set(input.roles)].sort()
      const done = context.parts.people.registerUser(caller, {idempotencyKey, displayName, roles})
      return answered(context, done, ({userId}) => ({userId}))
    },
  }),
  changeRoles: t.field({
    type: changeRolesPayload,
    description: 'Owners only.',
    args: {input: t.arg({type: changeRolesInput, required: true})},
    resolve(_root, {input}, context) {
      const caller = requireCaller(context)
      const idempotencyKey = keyInput(input.idempotencyKey)
      const userId = idInput('User', 'userId', input.userId)
      const roles = [...new Set(input.roles)].sort()
      const done = context.parts.people.changeRoles(caller, {idempotencyKey, userId, roles})
      return answered(context, done, () => ({userId}))
    },
  }),
}))

const issueTokenSuccess = builder
  .objectRef<Written & {readonly userId: string; readonly token: string}>('IssueTokenSuccess')
  .implement({
    fields: t => ({
      token: t.exposeString('token', {description: 'Valid for 15 minutes. It is shown once and kept nowhere.'}),
      user: t.field({
        type: userRef,
        nullable: true,
        resolve: ({userId}, _args, {parts}) => parts.queries.users.user(userId),
      }),
      position: t.exposeString('position', {description: positionDescription}),
    }),
  })

const issueTokenPayload = payloadUnion<UserRefusal | CallerRefusal>()('IssueTokenPayload', issueTokenSuccess, refusals)

const issueTokenInput = builder.inputType('IssueTokenInput', {
  fields: t => ({
    idempotencyKey: t.string({
      required: true,
      description: 'Asked for like everywhere; a repeat gets a token of its own, since none is kept.',
    }),
    userId: t.id({required: true}),
  }),
})

builder.mutationField('issueToken', t =>
  t.field({
    type: issueTokenPayload,
    description: 'Owners only: a bearer token for any user, for tools and for trying things out.',
    args: {input: t.arg({type: issueTokenInput, required: true})},
    resolve(_root, {input}, context) {
      const caller = requireCaller(context)
      keyInput(input.idempotencyKey)
      const userId = idInput('User', 'userId', input.userId)
      if (hasRole(caller, 'owner')) {
        context.parts.logger.info({requestId: context.requestId, by: caller.userId, for: userId}, 'token issued')
      }
      return answered(context, context.parts.people.issueToken(caller, userId), ({token}) => ({userId, token}))
    },
  }),
)
