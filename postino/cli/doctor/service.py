"""The link between the daemon and the service manager that is to run it, where `postino service install` said so."""

from __future__ import annotations

from postino.cli.command import Command, sentence
from postino.cli.doctor.finding import Finding, note, ok, wrong
from postino.cli.service import facts
from postino.cli.service.definition import define
from postino.cli.service.managers import manager
from postino.errors import PostinoError


def service(command: Command) -> Finding | None:
    """Check that the service is there, is current and runs the daemon; None where there is none."""
    if not command.settings.home.service.exists():
        return None
    try:
        found = facts(command, manager(define(command, strict=False), command.environ))
    except PostinoError as error:
        return wrong("service", "service_unknown", sentence(error))
    fix = "`postino service install`"
    if not found["installed"]:
        return wrong("service", "service_outdated", f"{found['file']} has been removed", fix)
    differs = f"{found['file']} has other settings than this shell", f"{fix} writes those of this shell into it"
    if found["daemon"] is not None and not found["serves"]:
        text = f"the daemon does not run as the service, {found['state']}"
        if found["differs"]:  # only its user can tell which of them are meant
            return wrong("service", "service_settings", f"{text}; {differs[0]}", differs[1])
        return wrong("service", "service_outside", text, fix)
    if found["differs"]:
        return note("service", "service_settings", *differs)
    if not found["current"]:
        return wrong("service", "service_outdated", f"{found['file']} is not what this shell would write", fix)
    return ok("service", f"{found['kind']}, {found['state']}")
