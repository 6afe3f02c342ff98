"""The local stack: finds, installs and runs livekit-server and Redis.

find      where a program is (never installs)
install   puts in place what a target lacks: `python -m voicefleet.stack.install [TARGET]`; livekit-server by
          livekit_install, packages of the system by debian
servers   async context managers for a livekit-server and a Redis of our own
fleet     both of them, a controller and its workers, as the demo and the chaos runs use them
"""
