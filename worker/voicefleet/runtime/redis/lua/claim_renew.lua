-- A job is in the room and takes, or renews, its claim. KEYS: claim, epoch, fenced, handoff, open_claims, ledger,
-- changed, renewed, aside.
-- args: room, worker, job, room_sid, epoch (that it was accepted with; 0: accepted while Redis was away), attempt (of its
-- dispatch; 0: nobody of ours dispatched it), live_ttl_ms, epoch_ttl_ms, trouble (what the job finds wrong with its own call, or '').
-- Returns {epoch, handoff or ''}; epoch 0: another job holds the call or has held it since, the call was released, or goes
-- on in another pool, and this one must leave.
-- The handoff is the one this job is to make.
local room, worker, job = args.room, args.worker, args.job
if redis.call('SISMEMBER', KEYS[3], job) == 1 then
  return {0, ''}
end
local text = redis.call('GET', KEYS[1])
local mine = args.epoch
local renewal = false
if text then
  local claim = read_claim(text)
  if claim.job ~= job then
    return {0, ''}
  end
  mine = claim.epoch
  renewal = claim.state == 'live' and claim.trouble == args.trouble
else
  -- Whoever opened a claim last may have it again. Another one that knows an epoch may not while that one has not closed
  -- its own: it was this one's successor, or claimed the call before it.
  local last = tonumber(redis.call('GET', KEYS[2]) or '0')
  local before = redis.call('HGET', KEYS[5], room)
  if before ~= job and mine > 0 and (before or last > mine) then
    return {0, ''}
  end
  local aside = read_aside(redis.call('GET', KEYS[9]))
  if aside and aside.why == 'moved' and same_room(aside.room_sid, args.room_sid) then
    return {0, ''}
  end
  if aside and aside.why == 'released' then
    if same_room(aside.room_sid, args.room_sid) and (args.attempt > 0 or mine > 0) then
      return {0, ''}
    end
    redis.call('DEL', KEYS[9])
  end
  mine = math.max(mine, before == job and last or last + 1, 1)
  if before ~= job then
    if before then
      redis.call('HINCRBY', KEYS[6], 'expired', 1)
      note.gone(room, args.room_sid, before, 'expired')
    end
    redis.call('HSET', KEYS[5], room, job)
    redis.call('HINCRBY', KEYS[6], 'opened', 1)
  end
end
local now = now_ms()
redis.call('SET', KEYS[2], mine, 'PX', args.epoch_ttl_ms)
redis.call('SET', KEYS[1], write_claim({worker = worker, job = job, epoch = mine, state = 'live',
  room_sid = args.room_sid, renewed_ms = now, trouble = args.trouble}), 'PX', args.live_ttl_ms)
redis.call('ZADD', KEYS[8], now, room)
if not renewal then
  redis.call('ZADD', KEYS[7], now, room)
  note.live(room, args.room_sid, worker, job, mine, false)
end
local planned = redis.call('GET', KEYS[4])
local handoff = read_handoff(planned)
if handoff and handoff.from_job == job then
  return {mine, planned}
end
return {mine, ''}
