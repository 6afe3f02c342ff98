-- A job gives its claim back. KEYS: claim, open_claims, ledger, changed, renewed, fenced, handoff, aside, removing.
-- args: room, job, room_sid, released (why its part ended on purpose, or ''), released_ttl_ms, epoch_ttl_ms, only_accepted
-- (a claim that came alive is left alone: others look after it).
-- With a reason the call is released: in the same step, so that nobody finds it waiting in between, and the job is fenced.
-- It is released also by a job whose claim ran out, if nobody had the call since. Not by a job that is fenced, or that the
-- controller removes from its room: its end is our doing. Returns 2 when the call is released now, 1 when the claim was this job's, else 0.
local room, job = args.room, args.job
local claim = read_claim(redis.call('GET', KEYS[1]))
if claim and claim.job ~= job or args.only_accepted and not (claim and claim.state == 'accepted') then
  return 0
end
local last = redis.call('HGET', KEYS[2], room)
local releases = args.released ~= '' and (claim or not last or last == job)
  and redis.call('SISMEMBER', KEYS[6], job) == 0 and redis.call('GET', KEYS[9]) ~= job
if not claim and not releases then
  return 0
end
local now = now_ms()
if claim or last == job then
  redis.call('DEL', KEYS[1])
  redis.call('HDEL', KEYS[2], room)
  redis.call('HINCRBY', KEYS[3], claim and 'released' or 'expired', 1)
  redis.call('ZREM', KEYS[5], room)
end
if releases then
  redis.call('SADD', KEYS[6], job)
  redis.call('PEXPIRE', KEYS[6], args.epoch_ttl_ms)
  redis.call('DEL', KEYS[7])
  redis.call('SET', KEYS[8], write_aside({why = 'released', room_sid = args.room_sid, reason = args.released,
    at_ms = now}), 'PX', args.released_ttl_ms)
end
redis.call('ZADD', KEYS[4], now, room)
if releases then
  note.released(room, args.room_sid, args.released)
else
  note.gone(room, args.room_sid, job, 'left')
end
return releases and 2 or 1
