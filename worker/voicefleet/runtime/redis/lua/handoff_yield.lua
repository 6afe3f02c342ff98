-- The holder, silent by now, gives the call to its ready successor. KEYS: claim, epoch, fenced, handoff, open_claims, ledger,
-- changed, renewed.
-- args: room, job, live_ttl_ms, epoch_ttl_ms, channel_prefix (of the jobs' channels).
-- Returns {1, successor's job}: done, this job must leave. {0, ''}: nobody is ready, it keeps the call. {-1, ''}: the
-- call is not this job's any more.
local room, job = args.room, args.job
local claim = read_claim(redis.call('GET', KEYS[1]))
if redis.call('SISMEMBER', KEYS[3], job) == 1 or (claim and claim.job ~= job) then
  return {-1, ''}
end
local handoff = read_handoff(redis.call('GET', KEYS[4]))
if not claim or not handoff or handoff.state ~= 'ready' or handoff.from_job ~= job then
  return {0, ''}
end
local now = now_ms()
local epoch = math.max(claim.epoch, tonumber(redis.call('GET', KEYS[2]) or '0')) + 1
redis.call('SET', KEYS[2], epoch, 'PX', args.epoch_ttl_ms)
redis.call('SET', KEYS[1], write_claim({worker = handoff.to_worker, job = handoff.to_job, epoch = epoch,
  state = 'live', room_sid = claim.room_sid, renewed_ms = now, trouble = ''}), 'PX', args.live_ttl_ms)
redis.call('ZADD', KEYS[7], now, room)
redis.call('ZADD', KEYS[8], now, room)
redis.call('SADD', KEYS[3], job)
redis.call('PEXPIRE', KEYS[3], args.epoch_ttl_ms)
redis.call('DEL', KEYS[4])
redis.call('HSET', KEYS[5], room, handoff.to_job)
redis.call('HINCRBY', KEYS[6], 'opened', 1)
redis.call('HINCRBY', KEYS[6], 'handed_over', 1)
note.live(room, claim.room_sid, handoff.to_worker, handoff.to_job, epoch, true)
redis.call('PUBLISH', args.channel_prefix .. handoff.to_job, 'handoff')
return {1, handoff.to_job}
