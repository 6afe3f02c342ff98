-- Whether a call wants an agent changes. KEYS: aside, changed. args: room, room_sid (of the room there now, or ''), change
-- ('neighbour_here', 'neighbour_gone', or 'wanted': somebody asks for an agent), neighbour_ttl_ms.
-- A released call stays released, whatever neighbours come and go. Returns 1 when something changed.
local aside = read_aside(redis.call('GET', KEYS[1]))
local ours = aside and same_room(aside.room_sid, args.room_sid)
local neighbour = aside and aside.why == 'neighbour'
local now = now_ms()
if args.change == 'neighbour_here' then
  if ours and neighbour then
    redis.call('PEXPIRE', KEYS[1], args.neighbour_ttl_ms)
    return 0
  elseif ours then
    return 0
  end
  redis.call('SET', KEYS[1], write_aside({why = 'neighbour', room_sid = args.room_sid, reason = '', at_ms = now}), 'PX',
    args.neighbour_ttl_ms)
elseif aside and (neighbour or args.change == 'wanted') then
  redis.call('DEL', KEYS[1])
else
  return 0
end
redis.call('ZADD', KEYS[2], now, args.room)
return 1
