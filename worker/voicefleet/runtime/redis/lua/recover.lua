-- A job is gone for sure, or fenced off: free its call for another.
-- KEYS: claim, epoch, fenced, handoff, open_claims, ledger, callers, waiting, inflight, changed, renewed.
-- args: room, worker, job, why (a word), epoch_ttl_ms.
-- The epoch rises and the job is fenced, so that it never holds the call again if it wakes; the call goes to the head of
-- the queue. Returns 1 when the claim was that job's, else 0 and nothing is changed.
local room = args.room
local claim = read_claim(redis.call('GET', KEYS[1]))
if not claim then
  return 0
end
if claim.worker ~= args.worker or claim.job ~= args.job then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[4])
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], args.epoch_ttl_ms)
redis.call('SADD', KEYS[3], claim.job)
redis.call('PEXPIRE', KEYS[3], args.epoch_ttl_ms)
redis.call('HDEL', KEYS[5], room)
redis.call('HINCRBY', KEYS[6], 'recovered', 1)
redis.call('ZREM', KEYS[9], room)
redis.call('ZADD', KEYS[10], now_ms(), room)
redis.call('ZREM', KEYS[11], room)
note.gone(room, claim.room_sid, claim.job, 'lost', args.why ~= '' and args.why or nil, claim.renewed_ms)
local joined = redis.call('ZSCORE', KEYS[7], room)
if joined then
  redis.call('ZADD', KEYS[8], -1 / tonumber(joined), room)
end
return 1
