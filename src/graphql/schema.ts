import '../access/graphql.ts'
import '../account/graphql.ts'
import '../booking/graphql.ts'
import '../calendar/graphql.ts'
import '../catalogue/graphql.ts'
import '../fleet/graphql.ts'
import '../shop/graphql.ts'
import './common-refusals.ts'
import {builder} from './builder.ts'

/** The whole schema; every slice has added its part by being imported. */
export const schema = builder.toSchema()
