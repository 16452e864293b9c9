"""The client of NetworkService."""

from sellertrust.names import marketplace_name, seller_name
from sellertrust.requests import invoke
from sellertrust.stubs import Stubs
from sellertrust.v1.network_service_pb2 import (
    ExportCaseRequest,
    ExportCaseResponse,
    GetSellerNetworkRequest,
    GetSellerNetworkResponse,
    ListRingsRequest,
    ListRingsResponse,
    RefreshLinksRequest,
    RefreshLinksResponse,
)

NETWORK_SECONDS = 30.0
"""People wait for that, no checkout does."""

REFRESH_SECONDS = 1_800.0
"""For millions of links, which ListRings reads as a whole once."""


class Networks(Stubs):
    """NetworkService of the client. Its methods raise SellertrustCallError."""

    def get_seller_network(
        self,
        marketplace: str,
        seller: str,
        *,
        steps: int = 0,
        at_least_sequence: int = 0,
        deadline_seconds: float = NETWORK_SECONDS,
    ) -> GetSellerNetworkResponse:
        """Return the sellers up to `steps` links away (1 to 4, by default 2), and the certificates of the seller's
        links.

        Raises SellertrustCallError if nothing links the seller.
        """
        request = GetSellerNetworkRequest(
            seller=seller_name(marketplace, seller), steps=steps, at_least_sequence=at_least_sequence
        )
        return invoke(self._networks.GetSellerNetwork, request, deadline_seconds)

    def list_rings(
        self, marketplace: str, *, page_size: int = 0, least_size: int = 0, deadline_seconds: float = REFRESH_SECONDS
    ) -> ListRingsResponse:
        """Return the rings of at least `least_size` sellers, most violators first; and by month, the sellers that links
        touched.
        """
        request = ListRingsRequest(parent=marketplace_name(marketplace), page_size=page_size, least_size=least_size)
        return invoke(self._networks.ListRings, request, deadline_seconds)

    def refresh_links(self, marketplace: str, *, deadline_seconds: float = REFRESH_SECONDS) -> RefreshLinksResponse:
        """Measure the precision of links, and record the cases that time alone changed. A repeated call changes
        nothing.
        """
        return invoke(
            self._networks.RefreshLinks, RefreshLinksRequest(parent=marketplace_name(marketplace)), deadline_seconds
        )

    def export_case(
        self, request: ExportCaseRequest, *, deadline_seconds: float = NETWORK_SECONDS
    ) -> ExportCaseResponse:
        """Return the signed case of sellers; `request` names its approved proposal, as `Client.carry_out` does."""
        return invoke(self._networks.ExportCase, request, deadline_seconds)
