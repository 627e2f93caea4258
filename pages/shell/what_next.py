"""What to do after a job: one table by kind of job and how it ended, shown where the job was."""

from markupsafe import Markup

from minillm.store.records import CANCELLED, DONE, FAILED, INTERRUPTED, Job

from .address import link

AFTER: dict[str, tuple[tuple[str, str], ...]] = {
    "inspect": (("score", "score its groups"),),
    "score": (("compare", "see which criteria choose alike"), ("prune", "cut by one of them")),
    "allocate": (("prune", "cut by this allocation"),),
    "masks": (("prune", "cut by these scores"), ("xray", "lay them over others")),
    "domains": (("xray", "lay what two texts cut over each other"), ("prune", "cut by one of them")),
    "prune": (("generate", "read what the cut model writes"), ("prune", "recover it, below")),
    "sparsify": (("generate", "read what it writes"),),
    "recover": (("generate", "read all variants side by side"), ("runs", "compare runs, or save a report")),
    "evaluate": (("generate", "read what the variants write"),),
    "export": (("runs", "see it among the run's exports, and download it"),),
    "generate": (("runs", "save all of it as a report"),),
    "fidelity": (("compare", "see which criteria choose alike"),),
    "sweep": (("runs", "compare its runs"),),
}
"""{kind of job: (page, what one does there) …} once it is done; of other kinds nothing is said."""

ELSE = {
    CANCELLED: "Start again does the same once more; or change what is asked, and start that.",
    FAILED: "Change what it says, then start it; Start again asks for the same once more.",
    INTERRUPTED: "Nothing was wrong with what was asked: Start again does it once more.",
}
"""{how a job ended: what to do}."""


def what_next(job: Job | None) -> Markup:
    """A sentence for a job that has ended, with links to where it leads on; empty while it is live."""
    if job is None or job.live:
        return Markup("")
    if job.state != DONE:
        return Markup('<p class="next">{}</p>').format(ELSE[job.state])
    onward = Markup('<a href="{}">{}</a>')
    ways = [onward.format(link(page, run=job.run_id), said) for page, said in AFTER.get(job.kind, ())]
    return Markup('<p class="next">Next: {}.</p>').format(Markup(" · ").join(ways)) if ways else Markup("")
