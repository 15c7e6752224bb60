"""Rows routed to experts."""
