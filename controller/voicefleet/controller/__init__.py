"""The controller: watches rooms, waiting calls and workers; repairs calls and scales pools.

settings    the file, validated once, as frozen values
ports       what the controller needs of the world; adapters/ speak to it
calls       callers and claims in Redis (the queue)
workers     reports and orders in Redis
listing     LiveKit's rooms, the truth about callers
dispatch    a worker for every waiting call
observe     from reports, instances and calls to one observation
loop        observe -> decide -> act, per pool
api, webhooks, limits   HTTP
app         start and stop of all of it
"""
