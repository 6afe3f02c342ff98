-- A worker wants the call in a room. KEYS: claim, epoch, fenced, handoff, open_claims, ledger, changed,
-- aside.
-- args: room, worker, job, room_sid, attempt (0: nobody of ours dispatched it), accepted_ttl_ms, epoch_ttl_ms,
-- handoff_ttl_ms.
-- Returns {1, epoch}: the claim is now this job's. {2, epoch}: another job holds it and is to hand the call over; this one
-- is its successor now. {0, holder's claim or ''}: neither.
-- A call that wants no agent refuses what the controller dispatched before that; a new dispatch of the team's, or a new
-- room of the same name, brings an agent. One that goes on in another pool gets none here.
local room, worker, job = args.room, args.worker, args.job
local text = redis.call('GET', KEYS[1])
if redis.call('SISMEMBER', KEYS[3], job) == 1 then
  return {0, text or ''}
end
if text then
  local claim = read_claim(text)
  if claim.job == job then
    return {1, claim.epoch}
  end
  local handoff = read_handoff(redis.call('GET', KEYS[4]))
  if handoff then
    local open = handoff.state == 'wanted' or handoff.to_job == job
    if open and handoff.from_job == claim.job and handoff.from_worker ~= worker then
      handoff.state, handoff.to_job, handoff.to_worker = 'accepted', job, worker
      redis.call('SET', KEYS[4], write_handoff(handoff), 'PX', args.handoff_ttl_ms)
      return {2, claim.epoch}
    end
  end
  return {0, text}
end
local aside = read_aside(redis.call('GET', KEYS[8]))
if aside then
  local same = same_room(aside.room_sid, args.room_sid)
  if same and (args.attempt > 0 or aside.why == 'moved') then
    return {0, ''}
  end
  if not same or aside.why ~= 'neighbour' then
    redis.call('DEL', KEYS[8])
  end
end
local epoch = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], args.epoch_ttl_ms)
redis.call('SET', KEYS[1], write_claim({worker = worker, job = job, epoch = epoch, state = 'accepted',
  room_sid = args.room_sid, renewed_ms = 0, trouble = ''}), 'PX', args.accepted_ttl_ms)
redis.call('DEL', KEYS[4])
local before = redis.call('HGET', KEYS[5], room)
if before then
  redis.call('HINCRBY', KEYS[6], 'expired', 1)
  note.gone(room, args.room_sid, before, 'expired')
end
redis.call('HSET', KEYS[5], room, job)
redis.call('HINCRBY', KEYS[6], 'opened', 1)
redis.call('ZADD', KEYS[7], now_ms(), room)
return {1, epoch}
