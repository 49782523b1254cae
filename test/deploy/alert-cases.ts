// For each alert what makes it fire and what does not quite, as changes of the recorded series.

import type { Values } from './promtool.ts'

export interface Case {
  /** By `name{label="value"}`, which stands for every recorded series that has these labels. */
  readonly changed?: Readonly<Record<string, Values>>
  /** Series that the recorded hub did not have, and those of a second replica (`pod="hub-1"`). */
  readonly added?: Readonly<Record<string, Values>>
}

/** A minute apart; looked at after 45 minutes. Nothing changes that is not named. */
export const AT_MINUTE = 45

const state = (connector: string, name: string): string => `connector_hub_connector_state{connector="${connector}",state="${name}"}` // prettier-ignore
const onSecond = (selector: string): string => selector.replace('}', ',pod="hub-1"}')
const invocations = (code: string): string => `connector_hub_invocations_total{connector="mqtt",function="fails.openfaas-fn",code="${code}"}` // prettier-ignore
const buckets = (first: number): Readonly<Record<string, Values>> =>
  Object.fromEntries([30, 60, 120, '+Inf'].map((le) => [`connector_hub_invocation_seconds_bucket{connector="mqtt",le="${le}"}`, le === '+Inf' || Number(le) >= first ? '0+6x60' : '0x60'])) // prettier-ignore

const LAG = 'connector_hub_lag_events{connector="nats",topic="shop.orders"}'
const AGE = 'connector_hub_function_lag_seconds{connector="nats",function="works.openfaas-fn"}'
const LOST = 'connector_hub_lost_total{connector="mqtt",function="works.openfaas-fn"}'
const LEADER = 'connector_hub_leader{connector="cron"}'
const TURNS = 'connector_hub_turn_failures_total{connector="cron"}'
const ENDS = 'connector_hub_deliveries_total{connector="mqtt",end="dead_lettered"}'

export const ALERTS: Readonly<Record<string, { readonly fires: readonly Case[]; readonly quiet: readonly Case[] }>> = {
  ConnectorHubAbsent: {
    fires: [{ changed: { connector_hub_build_info: '_x60' } }],
    quiet: [{ changed: { connector_hub_build_info: '1x35 _x24' } }],
  },
  ConnectorHubRestarting: {
    fires: [{ changed: { process_start_time_seconds: '100x20 200x3 300x3 400x30' } }],
    quiet: [{ changed: { process_start_time_seconds: '100x20 200x3 300x30' } }],
  },
  ConnectorHubMemoryHigh: {
    fires: [{ changed: { process_resident_memory_bytes: '90x60', connector_hub_memory_limit_bytes: '100x60' } }],
    quiet: [{ changed: { process_resident_memory_bytes: '80x60', connector_hub_memory_limit_bytes: '100x60' } }],
  },
  ConnectorHubGatewayUnreachable: {
    fires: [{ changed: { connector_hub_gateway_up: '0x60' } }],
    quiet: [{ changed: { connector_hub_gateway_up: '1x43 0x16' } }],
  },
  ConnectorHubDiscoveryStale: {
    fires: [{ changed: { connector_hub_discovery_age_seconds: '700x60' } }],
    quiet: [{ changed: { connector_hub_discovery_age_seconds: '500x60' } }],
  },
  ConnectorHubConnectorDown: {
    fires: [{ changed: { [state('mqtt', 'active')]: '0x60', [state('mqtt', 'failing')]: '1x60' } }],
    quiet: [
      { changed: { [state('mqtt', 'active')]: '0x60' }, added: { [onSecond(state('mqtt', 'active'))]: '1x60' } },
      { changed: { [state('mqtt', 'active')]: '1x42 0x17' } },
    ],
  },
  ConnectorHubReplicaFailing: {
    fires: [{ changed: { [state('mqtt', 'failing')]: '1x60' } }, { changed: { [state('mqtt', 'pending')]: '1x60' } }],
    quiet: [{ changed: { [state('mqtt', 'failing')]: '0x39 1x20' } }, { changed: { [state('mqtt', 'standby')]: '1x60' } }], // prettier-ignore
  },
  ConnectorHubNoLeader: {
    fires: [{ changed: { [state('cron', 'active')]: '0x60', [state('cron', 'standby')]: '1x60' } }],
    quiet: [{ added: { [onSecond(state('cron', 'standby'))]: '1x60', [onSecond(state('cron', 'active'))]: '0x60' } }],
  },
  ConnectorHubTwoLeaders: {
    fires: [{ added: { [onSecond(LEADER)]: '1x60' } }],
    quiet: [{ added: { [onSecond(LEADER)]: '0x60' } }],
  },
  ConnectorHubTurnFailures: {
    fires: [{ changed: { [TURNS]: '0+1x60' } }],
    quiet: [{ changed: { [TURNS]: '0x40 3x20' } }],
  },
  ConnectorHubLedgerImbalance: {
    fires: [
      { changed: { 'connector_hub_ledger_imbalance{connector="mqtt"}': '1x60' } },
      { changed: { 'connector_hub_ledger_imbalance{connector="mqtt"}': '-1x60' } },
    ],
    quiet: [{ changed: { 'connector_hub_ledger_imbalance{connector="mqtt"}': '0x44 1x15' } }],
  },
  ConnectorHubEventsLost: {
    // The counter rises, or comes with a 1.
    fires: [{ added: { [LOST]: '0x41 1x20' } }, { added: { [LOST]: '_x41 1x20' } }],
    quiet: [{ added: { [LOST]: '1x60' } }],
  },
  ConnectorHubDeadLetterFailures: {
    fires: [{ changed: { 'connector_hub_dead_letter_failures_total{connector="mqtt"}': '0x41 1x20' } }],
    quiet: [{ changed: { 'connector_hub_dead_letter_failures_total{connector="mqtt"}': '1x60' } }],
  },
  ConnectorHubDeadLetters: {
    fires: [{ changed: { [ENDS]: '10x41 11x20' } }],
    quiet: [{ changed: { [ENDS]: '10x60', 'connector_hub_deliveries_total{connector="mqtt",end="acked"}': '0+9x60' } }],
  },
  ConnectorHubSettleFailures: {
    fires: [{ changed: { 'connector_hub_settle_failures_total{connector="nats"}': '0+1x60' } }],
    quiet: [{ changed: { 'connector_hub_settle_failures_total{connector="nats"}': '0x41 2x20' } }],
  },
  ConnectorHubStuck: {
    fires: [{ changed: { [LAG]: '50x60' } }],
    quiet: [{ changed: { [LAG]: '50x60', 'connector_hub_deliveries_total{connector="nats",end="acked"}': '0+1x60' } }],
  },
  ConnectorHubLagEvents: {
    fires: [{ changed: { [LAG]: '20000x60' } }],
    quiet: [{ changed: { [LAG]: '9999x60' } }, { changed: { [LAG]: '0x40 20000x20' } }],
  },
  ConnectorHubLagAge: {
    fires: [{ changed: { [AGE]: '700x60' } }],
    quiet: [{ changed: { [AGE]: '500x60' } }],
  },
  ConnectorHubFilterErrors: {
    // The counter rises, or comes with all that there were.
    fires: [
      { changed: { 'connector_hub_filter_errors_total{connector="mqtt"}': '10+1x60' } },
      { changed: { 'connector_hub_filter_errors_total{connector="mqtt"}': '_x41 500x20' } },
    ],
    quiet: [{ changed: { 'connector_hub_filter_errors_total{connector="mqtt"}': '10x60' } }],
  },
  ConnectorHubFunctionFailing: {
    fires: [{ changed: { [invocations('500')]: '0+6x60' } }, { added: { [invocations('0')]: '0+6x60' } }],
    quiet: [
      { changed: { [invocations('500')]: '0+6x60' }, added: { [invocations('200')]: '0+7x60' } },
      // What it refuses by itself is no failure of its.
      { changed: { [invocations('500')]: '20x60' }, added: { [invocations('400')]: '0+7x60' } },
    ],
  },
  ConnectorHubRetriesHigh: {
    fires: [{ changed: { 'connector_hub_retries_total{connector="mqtt"}': '0+3x60', [invocations('500')]: '0+6x60' } }],
    quiet: [
      {
        changed: { 'connector_hub_retries_total{connector="mqtt"}': '0+3x60', [invocations('500')]: '0+6x60' },
        added: { [invocations('200')]: '0+7x60' },
      },
    ],
  },
  ConnectorHubLatencyHigh: {
    fires: [{ changed: buckets(60) }],
    quiet: [{ changed: buckets(30) }],
  },
  ConnectorHubSaturated: {
    fires: [{ changed: { 'connector_hub_invocations_in_flight{connector="mqtt"}': '120x60' } }],
    quiet: [{ changed: { 'connector_hub_invocations_in_flight{connector="mqtt"}': '100x60' } }],
  },
  ConnectorHubScalerBlind: {
    fires: [{ changed: { 'connector_hub_scaler_lag_known{connector="nats"}': '0x60' } }],
    quiet: [{ changed: { 'connector_hub_scaler_lag_known{connector="nats"}': '1x40 0x19' } }],
  },
}
