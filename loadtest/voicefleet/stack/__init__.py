"""The local stack: find, install and run livekit-server and Redis, and keep track of child processes.

find      where a program is (never installs)
install   puts in place what a target lacks: `python -m voicefleet.stack.install [TARGET]`; livekit-server by
          livekit_install, packages of the system by debian
ports     free loopback ports, held so that no two runs on this machine pick the same one
children  child processes that stop in order, and die with us even after kill -9 (guard)
servers   async context managers for a livekit-server and a Redis of our own
"""
