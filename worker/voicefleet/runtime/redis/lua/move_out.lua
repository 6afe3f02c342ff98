-- A call is to go on in another pool. KEYS: claim, aside, callers, changed, transcript, transcript_of, epoch, fenced, call,
-- open_claims, ledger.
-- args: room, moved_ttl_ms.
-- From now on no job of this pool gets the call. Saying it again changes nothing. Returns {} when a job has it, or it is
-- no call here; else what goes with it: {joined_ms, id of its log or '', {field, value, ...} of the log, {fact, ...},
-- transcript or '', for how long that is kept in ms, transcript_of or '', epoch or '', {fenced job, ...}, record or ''}.
local joined = redis.call('ZSCORE', KEYS[3], args.room)
if not joined or redis.call('EXISTS', KEYS[1]) == 1 then
  return {}
end
local now, id = now_ms(), call_in(args.room, '')
-- The log's id begins with the sid of its room.
local sid = id and string.match(id, '^[^.]+') or ''
redis.call('SET', KEYS[2], write_aside({why = 'moved', room_sid = sid, reason = '', at_ms = now}), 'PX', args.moved_ttl_ms)
redis.call('ZADD', KEYS[4], now, args.room)
if redis.call('HDEL', KEYS[10], args.room) == 1 then
  redis.call('HINCRBY', KEYS[11], 'expired', 1)
end
local log, facts = {}, {}
if is_open(id) then
  log = redis.call('HGETALL', log_of(id))
  facts = redis.call('LRANGE', PREFIX .. 'call_facts:' .. id, 0, -1)
else
  id = ''
end
return {joined, id, log, facts, redis.call('GET', KEYS[5]) or '', redis.call('PTTL', KEYS[5]),
  redis.call('GET', KEYS[6]) or '', redis.call('GET', KEYS[7]) or '', redis.call('SMEMBERS', KEYS[8]),
  redis.call('GET', KEYS[9]) or ''}
