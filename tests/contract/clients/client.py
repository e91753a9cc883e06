"""The client that openapi-python-client makes: create, a name that is taken, verify, statistics, delete."""

import os
from decimal import Decimal

from affzero import AuthenticatedClient
from affzero.api.connections import create_connection, delete_connection, show_connection, verify_connection
from affzero.api.stats import connection_stats
from affzero.models import (
    Connection,
    ConnectionCreateDemo,
    ConnectionCreateDemoPlatform,
    CreateConnectionResponse409,
    Dimension,
    Metric,
    Plan,
    Preset,
    ShowConnectionResponse410,
    StatsPage,
    Verification,
)

ORGANISATION = "client-python"


def main() -> None:
    client = AuthenticatedClient(base_url=os.environ["AFFZERO_URL"], token=os.environ["AFFZERO_TOKEN"])
    body = ConnectionCreateDemo(name="Made by openapi-python-client", platform=ConnectionCreateDemoPlatform.DEMO)

    created = create_connection.sync(client=client, body=body, x_org_id=ORGANISATION, x_org_plan=Plan.PRO)
    assert isinstance(created, Connection), created
    taken = create_connection.sync(client=client, body=body, x_org_id=ORGANISATION, x_org_plan=Plan.PRO)
    assert isinstance(taken, CreateConnectionResponse409), taken
    assert taken.code == "name_taken" and taken.status == 409

    verified = verify_connection.sync(created.id, client=client, x_org_id=ORGANISATION)
    assert isinstance(verified, Verification) and verified.status == "ok", verified

    page = connection_stats.sync(
        created.id,
        client=client,
        group_by=[Dimension.COUNTRY, Dimension.DATE],
        preset=Preset.LAST_7_DAYS,
        metrics=[Metric.CLICKS, Metric.REVENUE],
        filtercountry="DE",
        x_org_id=ORGANISATION,
    )
    assert isinstance(page, StatsPage), page
    rows = [row.to_dict() for row in page.rows]
    assert len({row["date"]["id"] for row in rows}) == 7, rows
    assert {row["country"]["id"] for row in rows} == {"DE"}, rows
    assert sum(Decimal(row["revenue"]) for row in rows) > 0

    delete_connection.sync_detailed(created.id, client=client, x_org_id=ORGANISATION)
    gone = show_connection.sync(created.id, client=client, x_org_id=ORGANISATION)
    assert isinstance(gone, ShowConnectionResponse410) and gone.code == "connection_deleted", gone


main()
