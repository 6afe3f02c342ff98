-- A room is over. KEYS: claim, call, callers, waiting, inflight. ARGV: room, room_sid.
-- Room names recur: a claim that belongs to a newer room of the same name stays. Returns 1 when the room was cleared.
local held = redis.call('GET', KEYS[1])
if held then
  local sid = cjson.decode(held).room_sid
  if ARGV[2] ~= '' and sid ~= '' and sid ~= ARGV[2] then
    return 0
  end
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[5], ARGV[1])
return 1
