-- The successor is in the room and ready, and says so again and again. KEYS: claim, handoff.
-- ARGV: successor's job, ttl_ms, prefix of the jobs' channels.
-- Returns {2, epoch}: the call is this job's. {1, 0}: not yet. {0, 0}: it will not be, leave without a word.
local text = redis.call('GET', KEYS[1])
if not text then
  return {0, 0}
end
local claim = cjson.decode(text)
if claim.job == ARGV[1] then
  return {2, claim.epoch}
end
local planned = redis.call('GET', KEYS[2])
if not planned then
  return {0, 0}
end
local handoff = cjson.decode(planned)
if handoff.to_job ~= ARGV[1] or handoff.from_job ~= claim.job then
  return {0, 0}
end
local first = handoff.state ~= 'ready'
handoff.state = 'ready'
redis.call('SET', KEYS[2], cjson.encode(handoff), 'PX', ARGV[2])
if first then
  redis.call('PUBLISH', ARGV[3] .. handoff.from_job, 'handoff')
end
return {1, 0}
