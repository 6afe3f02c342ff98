-- A job gives its claim back. KEYS: claim, open_claims, ledger, changed, renewed. args: room, job.
-- Returns 1 when it was this job's.
local claim = read_claim(redis.call('GET', KEYS[1]))
if claim and claim.job == args.job then
  redis.call('DEL', KEYS[1])
  redis.call('HDEL', KEYS[2], args.room)
  redis.call('HINCRBY', KEYS[3], 'released', 1)
  redis.call('ZADD', KEYS[4], now_ms(), args.room)
  redis.call('ZREM', KEYS[5], args.room)
  note.gone(args.room, claim.room_sid, args.job, 'left')
  return 1
end
return 0
