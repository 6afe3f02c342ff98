-- Callers came or went. KEYS: callers, waiting, inflight, changed. args: add ({{room, joined_ms, room_sid or ''}, ...}),
-- gone ({room, ...}), began_ms (when the listing began; 0: no listing), aside_prefix. A joined time of 0 is now; a later
-- one too. What another room of the same name was set aside for is over.
-- Without a listing (0) whoever is gone is gone. With one, a caller who joined after it began stays: it cannot have
-- seen them. Returns {room, ...}: those taken out.
local now = now_ms()
for _, pair in ipairs(args.add) do
  local joined = tonumber(pair[2])
  if joined <= 0 or joined > now then
    joined = now
  end
  redis.call('ZADD', KEYS[1], 'NX', joined, pair[1])
  redis.call('ZADD', KEYS[4], now, pair[1])
  local aside = read_aside(redis.call('GET', args.aside_prefix .. pair[1]))
  if aside and not same_room(aside.room_sid, pair[3]) then
    redis.call('DEL', args.aside_prefix .. pair[1])
  end
end
local out = {}
for _, room in ipairs(args.gone) do
  local joined = redis.call('ZSCORE', KEYS[1], room)
  if joined and (args.began_ms == 0 or tonumber(joined) < args.began_ms) then
    redis.call('ZREM', KEYS[1], room)
    redis.call('ZREM', KEYS[2], room)
    redis.call('ZREM', KEYS[3], room)
    redis.call('ZADD', KEYS[4], now, room)
    out[#out + 1] = room
  end
end
return out
