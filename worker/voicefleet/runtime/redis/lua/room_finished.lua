-- A room is over. KEYS: claim, call, transcript, handoff, held, ledger, callers, waiting, inflight, changed,
-- renewed, transcript_of. ARGV: room, room_sid.
-- Room names recur: a claim that belongs to a newer room of the same name stays. Returns 1 when the room was cleared.
local text = redis.call('GET', KEYS[1])
if text then
  local sid = cjson.decode(text).room_sid
  if ARGV[2] ~= '' and sid ~= '' and sid ~= ARGV[2] then
    return 0
  end
end
if redis.call('HDEL', KEYS[5], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[6], text and 'finished' or 'expired', 1)
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[4])
local of = redis.call('GET', KEYS[12]) or ''
if of == '' or ARGV[2] == '' or of == ARGV[2] then
  redis.call('DEL', KEYS[3], KEYS[12])
end
redis.call('ZREM', KEYS[7], ARGV[1])
redis.call('ZREM', KEYS[8], ARGV[1])
redis.call('ZREM', KEYS[9], ARGV[1])
local t = redis.call('TIME')
redis.call('ZADD', KEYS[10], t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
redis.call('ZREM', KEYS[11], ARGV[1])
return 1
