"""How frames get from one end to the other: one module per protocol, all with the two ends of `ProtocolEnd`."""
