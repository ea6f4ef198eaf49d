"""The ticket on a rollout whose new engine version is worse than the old one."""

from plimsoll.alerts.rules import Alert
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Pool

NAME = "LLMRolloutWorse"


def rollout_alert(pool: Pool) -> Alert:
    """Return the ticket of a pool's rollout, one for each SLO that is worse."""
    each = "objective, baseline, candidate"
    verdict = f'{c.ROLLOUT_VERDICT}{{pool="{pool.name}",verdict="worse"}}'
    by_bound = f'{c.ROLLOUT_DIFFERENCE}{{bound=\\"%s\\",objective=\\"%s\\",candidate=\\"%s\\"}}'
    low, high = (
        f'{{{{ with printf "max({by_bound})" "{bound}" $labels.objective $labels.candidate | query }}}}'
        "{{ . | first | value | humanizePercentage }}{{ end }}"
        for bound in ("lower", "upper")
    )
    return Alert(
        name=NAME,
        severity="ticket",
        expr=f"max by ({each}) ({verdict}) == 1",
        summary="{{ $labels.candidate }} is worse than {{ $labels.baseline }} for {{ $labels.objective }}.",
        description=(
            f"{low} to {high} more of the requests of {{{{ $labels.candidate }}}} are bad than of {{{{ $labels.baseline }}}}, which "
            f"serves {pool.name} beside it. Roll back."
        ),
        panel=links.BUDGET,
        pool=pool.name,
    )
