-- A worker is gone for sure: free its call for another. KEYS: claim, epoch, callers, waiting, inflight.
-- ARGV: room, worker, job, epoch_ttl_ms. The epoch rises, so that a job that wakes later is fenced off; the call goes to
-- the head of the queue. Returns 1 when the claim was that job's, else 0 and nothing is changed.
local held = redis.call('GET', KEYS[1])
if not held then
  return 0
end
local claim = cjson.decode(held)
if claim.worker ~= ARGV[2] or claim.job ~= ARGV[3] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('ZREM', KEYS[5], ARGV[1])
local joined = redis.call('ZSCORE', KEYS[3], ARGV[1])
if joined then
  redis.call('ZADD', KEYS[4], -1 / tonumber(joined), ARGV[1])
end
return 1
