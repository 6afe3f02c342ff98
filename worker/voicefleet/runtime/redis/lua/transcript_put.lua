-- A job stores what its call was about, or deletes it. KEYS: claim, fenced, transcript, transcript_of.
-- args: job, transcript (or ''), ttl_ms.
-- Returns 1 when done; 0 when the call is another job's: a job that wakes late must not write over its successor's.
local claim = read_claim(redis.call('GET', KEYS[1]))
if redis.call('SISMEMBER', KEYS[2], args.job) == 1 or (claim and claim.job ~= args.job) then
  return 0
end
if args.transcript == '' then
  redis.call('DEL', KEYS[3], KEYS[4])
else
  redis.call('SET', KEYS[3], args.transcript, 'PX', args.ttl_ms)
  redis.call('SET', KEYS[4], claim and claim.room_sid or '', 'PX', args.ttl_ms)
end
return 1
