"""The simulated cluster: workers and calls, starts, dispatch, drains and handoffs. No policy in here."""
