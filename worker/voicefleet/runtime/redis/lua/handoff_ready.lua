-- The successor is in the room and ready, or still starts, and says so again and again. KEYS: claim, handoff.
-- args: job (the successor's), ready (false: it still starts), ttl_ms (until it must have said so again), channel_prefix
-- (of the jobs' channels).
-- Returns {2, epoch}: the call is this job's. {1, 0}: not yet. {0, 0}: it will not be, leave without a word.
local claim = read_claim(redis.call('GET', KEYS[1]))
if not claim then
  return {0, 0}
end
if claim.job == args.job then
  return {2, claim.epoch}
end
local handoff = read_handoff(redis.call('GET', KEYS[2]))
if not handoff or handoff.to_job ~= args.job or handoff.from_job ~= claim.job then
  return {0, 0}
end
local first = args.ready and handoff.state ~= 'ready'
handoff.state = args.ready and 'ready' or handoff.state
redis.call('SET', KEYS[2], write_handoff(handoff), 'PX', args.ttl_ms)
if first then
  redis.call('PUBLISH', args.channel_prefix .. handoff.from_job, 'handoff')
end
return {1, 0}
