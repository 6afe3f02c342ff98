"""The transport lab: the same speech over HTTP, WebSocket, TCP, UDP and WebRTC, over a network of known delay and loss.

Each run is two processes in two network namespaces (`voicefleet.netlab`), a caller and an agent, which talk to each
other at once. What each ear got, and when, is compared with what was said.
"""
