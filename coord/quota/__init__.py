"""Quotas: budgets in fixed windows, with reservations that are settled or cancelled exactly once."""

from coord.quota.handle import AsyncReservation, Quota, QuotaStatus, Reservation

__all__ = ["AsyncReservation", "Quota", "QuotaStatus", "Reservation"]
