-- The call in a room is to move to another worker. KEYS: claim, handoff. ARGV: job that holds it, ttl_ms.
-- Returns 1 when the handoff is now wanted; 0: the job does not hold a live claim, or one is under way.
local text = redis.call('GET', KEYS[1])
if not text then
  return 0
end
local claim = cjson.decode(text)
if claim.job ~= ARGV[1] or claim.state ~= 'live' or redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
redis.call('SET', KEYS[2], cjson.encode({v = 1, from_job = claim.job, from_worker = claim.worker, state = 'wanted',
  to_job = '', to_worker = ''}), 'PX', ARGV[2])
return 1
