-- A room is over. KEYS: claim, call, transcript, handoff, open_claims, ledger, callers, waiting, inflight, changed,
-- renewed, transcript_of, expected, aside. args: room, room_sid.
-- Room names recur: a claim that belongs to a newer room of the same name stays. Returns 1 when the room was cleared.
local claim = read_claim(redis.call('GET', KEYS[1]))
if claim and args.room_sid ~= '' and claim.room_sid ~= '' and claim.room_sid ~= args.room_sid then
  return 0
end
if redis.call('HDEL', KEYS[5], args.room) == 1 then
  redis.call('HINCRBY', KEYS[6], claim and 'finished' or 'expired', 1)
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[4])
local of = redis.call('GET', KEYS[12]) or ''
if of == '' or args.room_sid == '' or of == args.room_sid then
  redis.call('DEL', KEYS[3], KEYS[12])
end
local aside = read_aside(redis.call('GET', KEYS[14]))
if aside and same_room(aside.room_sid, args.room_sid) then
  redis.call('DEL', KEYS[14])
end
redis.call('ZREM', KEYS[7], args.room)
redis.call('ZREM', KEYS[8], args.room)
redis.call('ZREM', KEYS[9], args.room)
redis.call('ZREM', KEYS[13], args.room)
redis.call('ZADD', KEYS[10], now_ms(), args.room)
redis.call('ZREM', KEYS[11], args.room)
note.over(args.room, args.room_sid, 'room_closed')
return 1
