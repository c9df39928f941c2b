"""For every alert: figures under which it must wake somebody, at what moment, in which words; and figures of good days.

Series are written as Prometheus's own tool reads them: a sample every ten seconds, `0+2x90` for 90 more after 0, each
2 larger. What two APIs tell of one worker stands here twice, as it does there.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Case:
    """`ill` is silent until `silent_at` and fires at `fires_at`; each of `well` is silent at both moments."""

    ill: dict[str, str]
    well: tuple[dict[str, str], ...]
    silent_at: str
    fires_at: str
    summary: str
    labels: dict[str, str] = field(default_factory=dict)


def both(series: str, values: str) -> dict[str, str]:
    """One worker's series, told by two APIs."""
    name, _, labels = series.rstrip("}").partition("{")
    return {f'{name}{{instance="api-{n}",{labels}}}': values for n in (1, 2)}


def beats(kind: str, *values: str) -> dict[str, str]:
    """How long ago each process of a kind gave its last sign of life."""
    return {f'horae_heartbeat_age_seconds{{kind="{kind}",worker="{n}"}}': told for n, told in enumerate(values)}


def lateness(slow: str, fast: str = "0x120") -> dict[str, str]:
    """Releases within a second, and within ten."""
    told = {"1": fast, "10": slow, "+Inf": slow}
    return {
        name: values
        for le, values in told.items()
        for name in both(f'horae_release_lateness_seconds_bucket{{worker="1",le="{le}"}}', values)
    }


def requests(route: str, within_1: str, within_5: str) -> dict[str, str]:
    """Requests of a route within one second and within five."""
    told = {"1": within_1, "5": within_5, "+Inf": within_5}
    return {f'http_request_duration_seconds_bucket{{route="{route}",le="{le}"}}': values for le, values in told.items()}


def answers(**by_status: str) -> dict[str, str]:
    """Requests by status: `s500="0+1x120"`."""
    return {f'http_request_duration_seconds_count{{status="{name[1:]}"}}': values for name, values in by_status.items()}


def ended(**by_outcome: str) -> dict[str, str]:
    """Occurrences of one worker by outcome."""
    return {
        name: values
        for outcome, told in by_outcome.items()
        for name, values in both(f'horae_occurrences_ended_total{{worker="1",outcome="{outcome}"}}', told).items()
    }


def attempts(completed: str, failed: str) -> dict[str, str]:
    """Attempts of one worker."""
    name = "schedule_execution_duration_seconds_count"
    return both(f'{name}{{worker="1",status="completed"}}', completed) | both(
        f'{name}{{worker="1",status="failed"}}', failed
    )


def probe(dependency: str, values: str) -> dict[str, str]:
    """What the prober finds."""
    return {f'probe_success{{job="dependencies",dependency="{dependency}"}}': values}


def queue(**by_place: str) -> dict[str, str]:
    """Events waiting in the two lanes of API 1 and API 2: `fast_1="10x60"`."""
    return {
        f'horae_commit_queue_events{{lane="{place.split("_")[0]}",instance="api-{place.split("_")[1]}"}}': values
        for place, values in by_place.items()
    }


CASES: dict[str, Case] = {
    "HoraeSilentSlots": Case(
        ill={'horae_silent_slots{worker="1"}': "0x6 2x60", 'horae_auditor_alarms_total{worker="1"}': "0x66"},
        well=({'horae_silent_slots{worker="1"}': "0x66", 'horae_auditor_alarms_total{worker="1"}': "7x66"},),
        silent_at="1m",
        fires_at="70s",
        summary="A slot should have ended and has not: 2 at the last audit.",
    ),
    "HoraeAuditLate": Case(
        # One worker audits, until nobody does.
        ill={'horae_audit_age_seconds{worker="1"}': "2000+10x120", 'horae_audit_age_seconds{worker="2"}': "600+10x120"},
        well=({'horae_audit_age_seconds{worker="1"}': "2000+10x120", 'horae_audit_age_seconds{worker="2"}': "30x120"},),
        silent_at="5m",
        fires_at="310s",
        summary="No audit has come to its end for 15m 10s: nobody would notice a silent slot.",
    ),
    "HoraeLate": Case(
        ill=lateness("0+10x120"),
        well=(lateness("0+1000x120", "0+995x120"),),
        silent_at="4m",
        fires_at="10m",
        summary="One release in a hundred is more than 9.91s late.",
    ),
    "HoraeOverdue": Case(
        ill={'due_overdue{worker="1"}': "0+100x120"},
        well=({'due_overdue{worker="1"}': "90000-50x120"}, {'due_overdue{worker="1"}': "900x120"}),
        silent_at="6m",
        fires_at="10m",
        summary="6000 due things wait, and they do not become fewer.",
    ),
    "HoraeMissedSlots": Case(
        ill=both('horae_missed_slots_total{worker="1"}', "0x90 6x30"),
        well=(both('horae_missed_slots_total{worker="1"}', "6x120"),),
        silent_at="15m",
        fires_at="18m",
        summary="6 slots were given up by their `missed` policy.",
    ),
    "HoraeGone": Case(
        ill={'up{job="horae",instance="api-1"}': "1x6 0x60", 'up{job="horae",instance="api-2"}': "1x6 0x60"},
        well=({'up{job="horae",instance="api-1"}': "0x66", 'up{job="horae",instance="api-2"}': "1x66"},),
        silent_at="2m",
        fires_at="3m",
        summary="No API answers Prometheus.",
    ),
    "HoraeWorkersSilent": Case(
        ill=beats("worker", "1x6 10+10x60", "1x6 20+10x60"),
        well=(beats("worker", "1x6 10+10x60", "1x66"),),
        silent_at="100s",
        fires_at="3m",
        summary="No worker has given a sign of life for 2m 0s: nothing fires.",
    ),
    "HoraeRelaySilent": Case(
        ill=beats("relay", "1x6 10+10x60") | beats("worker", "1x66"),
        well=(beats("relay", "500x66", "1x66"), beats("worker", "1x66")),
        silent_at="2m",
        fires_at="3m",
        summary="No relay is active since 2m 0s; workers read the log themselves.",
    ),
    "HoraeIndexerSilent": Case(
        ill=beats("indexer", "1x6 10+10x60"),
        well=(beats("indexer", "500x66", "1x66"),),
        silent_at="6m",
        fires_at="7m",
        summary="No indexer has given a sign of life for 6m 0s: search stands still.",
    ),
    "HoraeDegraded": Case(
        ill={'component_health{component="kafka"}': "1x6 0.5x60", 'component_health{component="database"}': "1x66"},
        well=({'component_health{component="kafka"}': "1x66", 'component_health{component="database"}': "1x66"},),
        silent_at="6m",
        fires_at="7m",
        summary="kafka is degraded.",
        labels={"component": "kafka"},
    ),
    "HoraeServerErrors": Case(
        ill=answers(s500="0+1x120", s201="0+9x120"),
        well=(answers(s500="0+1x120", s201="0+99x120"), answers(s404="0+9x120", s201="0+9x120", s503="0x120")),
        silent_at="5m",
        fires_at="6m",
        summary="10% of the requests end with a 5xx.",
    ),
    "HoraeSlowRequests": Case(
        ill=requests("/v1/schedules", "0x120", "0+10x120"),
        well=(
            requests("/v1/schedules", "0+995x120", "0+1000x120"),
            requests("/v1/schedules", "0+10x120", "0+10x120") | requests("/v1/events", "0x120", "0+90x120"),
        ),
        silent_at="10m",
        fires_at="11m",
        summary="One request in a hundred takes longer than 4.96s.",
    ),
    "HoraeProjectionLag": Case(
        # The second has just started, and counts from then on: the longest that is told is what is true.
        ill={'projection_lag_seconds{instance="api-1"}': "30x60", 'projection_lag_seconds{instance="api-2"}': "1x60"},
        well=(
            {'projection_lag_seconds{instance="api-1"}': "9x60", 'projection_lag_seconds{instance="api-2"}': "1x60"},
        ),
        silent_at="110s",
        fires_at="2m",
        summary="The read models are 30s behind the log.",
    ),
    "HoraeSearchLag": Case(
        ill={'horae_feed_position{worker="1"}': "9000x60", 'horae_search_position{indexer="2"}': "3000x60"},
        well=({'horae_feed_position{worker="1"}': "9000x60", 'horae_search_position{indexer="2"}': "8000x60"},),
        silent_at="290s",
        fires_at="5m",
        summary="Search lacks 6000 events that the read models have.",
    ),
    "HoraeParkedEvents": Case(
        ill={"horae_parked_families": "0x6 3x60"},
        well=({"horae_parked_families": "0x66"},),
        silent_at="1m",
        fires_at="70s",
        summary="3 streams stand still behind an event that cannot be applied.",
    ),
    "HoraeUnreadableRecords": Case(
        ill=both('horae_feed_unreadable_total{worker="1"}', "0x360 2x60"),
        well=(both('horae_feed_unreadable_total{worker="1"}', "2x420"),),
        silent_at="1h",
        fires_at="61m",
        summary="2 records of horae-log were none.",
    ),
    "HoraeRebalanceStorm": Case(
        ill={'horae_rebalances_total{worker="1"}': "0+1x120", 'horae_rebalances_total{worker="2"}': "0x120"},
        well=(
            {'horae_rebalances_total{worker="1"}': "0x20 3x100", 'horae_rebalances_total{worker="2"}': "0x20 3x100"},
        ),
        silent_at="5m",
        fires_at="15m",
        summary="Partitions were divided anew 60 times within ten minutes.",
    ),
    "HoraeQueueNearLimit": Case(
        ill=queue(fast_1="4000x60", bulk_1="4000x60", fast_2="0x60"),
        well=(queue(fast_1="4000x60", bulk_2="4000x60"),),
        silent_at="50s",
        fires_at="1m",
        summary="8000 events wait to be stored; from SCHEDULING_ENGINE_QUEUE_SIZE (10000) on, writes get 503.",
    ),
    "HoraeRelayLag": Case(
        ill={'horae_relay_lag_seconds{relay="1"}': "0+10x60"},
        well=({'horae_relay_lag_seconds{relay="1"}': "9x60"},),
        silent_at="130s",
        fires_at="150s",
        summary="An event has waited 2m 30s for its way into Kafka.",
    ),
    "HoraeRelayErrors": Case(
        ill=both('horae_relay_publish_errors_total{relay="1"}', "0+1x120"),
        well=(both('horae_relay_publish_errors_total{relay="1"}', "0x60 5x60"),),
        silent_at="5m",
        fires_at="10m",
        summary="Kafka did not acknowledge 30 tries within five minutes.",
    ),
    "HoraeEventsLeftOut": Case(
        ill=both('horae_relay_left_out_events_total{relay="1",kind="large"}', "0x360 1x60"),
        well=(both('horae_relay_left_out_events_total{relay="1",kind="large"}', "1x420"),),
        silent_at="1h",
        fires_at="61m",
        summary="1 events could not be published (large).",
        labels={"kind": "large"},
    ),
    "HoraeBreakersOpen": Case(
        ill=both('horae_breakers_open{worker="1"}', "1x120") | both('horae_breakers_open{worker="2"}', "2x120"),
        well=(both('horae_breakers_open{worker="1"}', "1x60 0 1x60"),),
        silent_at="14m",
        fires_at="15m",
        summary="3 endpoints have been failing for a quarter of an hour.",
    ),
    "HoraeDeadLetters": Case(
        ill=ended(dead_lettered="0x90 0+2x30", delivered="0+10x120"),
        well=(
            ended(dead_lettered="0+2x120", delivered="0+100x120"),
            ended(unknown="0x90 9x30", delivered="0x120"),
            ended(missed="0+9x120", delivered="0+1x120"),
        ),
        silent_at="15m",
        fires_at="20m",
        summary="58 occurrences became dead letters within a quarter of an hour.",
    ),
    "HoraeAttemptsFail": Case(
        ill=attempts(completed="0+5x120", failed="0+5x120"),
        well=(attempts(completed="0+9x120", failed="0+1x120"),),
        silent_at="10m",
        fires_at="12m",
        summary="50% of the attempts fail.",
    ),
    "HoraeSlotsExhausted": Case(
        ill=both('horae_waiting{worker="1",where="endpoint"}', "700x60")
        | both('horae_waiting{worker="2",where="endpoint"}', "700x60"),
        well=(
            both('horae_waiting{worker="1",where="endpoint"}', "700x60"),
            both('horae_waiting{worker="1",where="ready"}', "9000x60"),
        ),
        silent_at="290s",
        fires_at="5m",
        summary="1400 releases wait for a free send slot.",
    ),
    "HoraeWorkersDie": Case(
        ill=both('horae_recovered_attempts_total{worker="1"}', "0x90 0+10x30"),
        well=(both('horae_recovered_attempts_total{worker="1"}', "0x90 90x30"),),
        silent_at="15m",
        fires_at="20m",
        summary="290 attempts were taken over from workers that died.",
    ),
    "HoraePostgresDown": Case(
        ill=probe("postgres", "1x6 0x60") | probe("kafka", "1x66"),
        well=(probe("postgres", "1x66") | probe("kafka", "0x66"),),
        silent_at="90s",
        fires_at="110s",
        summary="PostgreSQL takes no connections.",
    ),
    "HoraeKafkaDown": Case(
        ill=probe("kafka", "1x6 0x60") | probe("postgres", "1x66"),
        well=(probe("kafka", "1x66") | probe("postgres", "0x66"),),
        silent_at="2m",
        fires_at="130s",
        summary="Kafka takes no connections; workers read the log themselves.",
    ),
    "HoraeElasticsearchDown": Case(
        ill=probe("elasticsearch", "1x6 0x60"),
        well=(probe("elasticsearch", "1x66"),),
        silent_at="3m",
        fires_at="190s",
        summary="Elasticsearch takes no connections; search is out of date or away.",
    ),
}
