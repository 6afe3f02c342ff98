-- A job says itself that it is deaf or mute: may its call be moved? Asked before it is. KEYS: troubled.
-- args: room_sid, job, most, pause_ms, ttl_ms.
-- Returns 1: yes, and it is counted, once a job. 0: not now; the call was moved often enough, or a moment ago.
local known = redis.call('HMGET', KEYS[1], 'room_sid', 'moves', 'at_ms', 'job')
local moves, at = 0, 0
if known[1] == args.room_sid then
  moves, at = tonumber(known[2] or '0'), tonumber(known[3] or '0')
  if known[4] == args.job then
    return 1
  end
end
local now = now_ms()
if moves >= args.most or (moves > 0 and now - at < args.pause_ms * 2 ^ (moves - 1)) then
  return 0
end
redis.call('HSET', KEYS[1], 'room_sid', args.room_sid, 'moves', moves + 1, 'at_ms', now, 'job', args.job)
redis.call('PEXPIRE', KEYS[1], args.ttl_ms)
return 1
