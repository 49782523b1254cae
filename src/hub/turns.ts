// Instances whose replicas take turns, by a Lease each: which they are, and what their supervisors and sources get. Made by
// the composition root when the configuration says so.

import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'

import { ClusterState } from '../kubernetes/cluster-state.ts'
import type { KubernetesApi } from '../kubernetes/index.ts'
import { LeaseElection } from '../kubernetes/lease-election.ts'
import type { Clock, HubError } from '../sdk/index.ts'
import type { HubEvents } from '../telemetry/events.ts'
import { openCluster } from './cluster.ts'
import type { Environment, HubConfig, HubSettings, InstanceConfig } from './config.ts'
import { takesTurns } from './turn-settings.ts'

export interface Turn {
  readonly election: LeaseElection
  /** Goes with the turn. */
  readonly state: ClusterState
}

/** Of the Lease and of the ConfigMap of an instance. */
export function leaseName({ leader }: HubSettings, instance: string): string {
  return `${leader.lease}-${instance}`
}

export class Turns implements AsyncDisposable {
  readonly #settings: HubSettings
  readonly #api: KubernetesApi
  readonly #clock: Clock
  readonly #events: HubEvents
  readonly #identity: string
  readonly #states: ClusterState[] = []

  private constructor(settings: HubSettings, api: KubernetesApi, clock: Clock, events: HubEvents) {
    this.#settings = settings
    this.#api = api
    this.#clock = clock
    this.#events = events
    // A process that follows a restart is another one: it knows nothing of what this one had begun.
    this.#identity = `${settings.leader.identity ?? hostname()}_${randomUUID().slice(0, 8)}`
  }

  /** Undefined where no instance takes turns. @throws HubError HUB_CONFIG_UNREADABLE, HUB_CONFIG_INVALID, HUB_KUBERNETES_UNAUTHORIZED */
  static async open(
    { settings, instances }: HubConfig,
    clock: Clock,
    events: HubEvents,
    env: Environment,
  ): Promise<Turns | undefined> {
    if (!instances.some((instance) => takesTurns(settings, instance))) return undefined
    return new Turns(settings, await openCluster(settings, clock, env), clock, events)
  }

  /** Undefined where its replicas do not take turns. Once for each instance. */
  of(instance: InstanceConfig): Turn | undefined {
    if (!takesTurns(this.#settings, instance)) return undefined
    const { leader } = this.#settings
    const { name } = instance
    const events = this.#events
    const common = {
      api: this.#api,
      namespace: leader.namespace ?? this.#api.namespace,
      name: leaseName(this.#settings, name),
      identity: this.#identity,
      clock: this.#clock,
    }
    const election = new LeaseElection({
      ...common,
      timing: { durationMs: leader.duration, renewDeadlineMs: leader.renewDeadline, retryPeriodMs: leader.retryPeriod },
      events: {
        began: (epoch) => events.turnBegan(name, epoch),
        ended: (epoch, why) => events.turnEnded(name, epoch, why),
        follows: (holder) => events.turnOf(name, holder),
        failed: (error) => events.turnFailed(name, 'the Lease', error),
      },
    })
    const failed = (error: HubError): void => events.turnFailed(name, 'the state', error)
    const state = new ClusterState({ ...common, election, retryMs: leader.retryPeriod, failed })
    this.#states.push(state)
    return { election, state }
  }

  /** When every election is resigned. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const state of this.#states) state.close()
    await this.#api.close()
  }
}
