-- A job is gone for sure, or fenced off: free its call for another.
-- KEYS: claim, epoch, fenced, handoff, held, ledger, callers, waiting, inflight, changed, renewed.
-- ARGV: room, worker, job, epoch_ttl_ms.
-- The epoch rises and the job is fenced, so that it never holds the call again if it wakes; the call goes to the head of
-- the queue. Returns 1 when the claim was that job's, else 0 and nothing is changed.
local room = ARGV[1]
local text = redis.call('GET', KEYS[1])
if not text then
  return 0
end
local claim = cjson.decode(text)
if claim.worker ~= ARGV[2] or claim.job ~= ARGV[3] then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[4])
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('SADD', KEYS[3], claim.job)
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('HDEL', KEYS[5], room)
redis.call('HINCRBY', KEYS[6], 'recovered', 1)
redis.call('ZREM', KEYS[9], room)
local t = redis.call('TIME')
redis.call('ZADD', KEYS[10], t[1] * 1000 + math.floor(t[2] / 1000), room)
redis.call('ZREM', KEYS[11], room)
local joined = redis.call('ZSCORE', KEYS[7], room)
if joined then
  redis.call('ZADD', KEYS[8], -1 / tonumber(joined), room)
end
return 1
