"""What people say in small talk, by the answer to it: what training draws, and two sets that it never draws.

Training draws from patterns: ``[a|b]`` stands for one of its words, of which one may be nothing. The last sentence of
each answer in :data:`TALK` is for the split ``test``, those of :data:`CHOOSE` are for ``choose``. No pattern gives a
sentence of these two sets, nor one that contains one of two or more words, whatever its case and punctuation.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from typing import Final

from anyloom_starter.edits import PIXEL_EDITS, phrasings
from anyloom_starter.sound_edits import ADD_PHRASINGS, DROP_PHRASINGS, SOUND_EFFECTS
from anyloom_starter.wording import FRAMES, MORE_FRAMES, is_held_out

__all__ = ["CHOOSE", "TALK", "WHICH", "loosely", "normal", "trained_sentences"]

GREETING: Final = "Hello. Show me a picture or a sound."
CAN: Final = "I can draw pictures, change them, make sounds and say what I see or hear."
WELCOME: Final = "You are welcome."
GLAD: Final = "I am glad you like it."
GOODBYE: Final = "Goodbye."
WHICH: Final = "Which picture or sound do you mean?"
ONLY: Final = "I only know small pictures and short sounds."

# Answer -> ways to bring it about. The last of each is held out for the test.
TALK: Final[Mapping[str, tuple[str, ...]]] = {
    GREETING: (
        "Hello.", "Hi.", "Hello there.", "Good morning.", "Good evening.", "Hey.", "Hi there.",
    ),
    CAN: (
        "What can you do?", "Who are you?", "What are you?", "Help.", "How do you work?", "What do you do?",
        "What are you able to do?", "Can you help me?", "Tell me what you can do.",
    ),
    WELCOME: ("Thank you.", "Thanks.", "Thank you very much.", "Well done, thanks.", "Many thanks."),
    GLAD: ("I like it.", "Very good.", "That is nice.", "Well done.", "Good.", "Great."),
    GOODBYE: ("Goodbye.", "Bye.", "See you.", "Good night.", "Bye, see you."),
    WHICH: (
        "Make it darker.", "Mirror it.", "Turn it upside down.", "Change it.", "What does it show?", "What is this?",
        "What do you hear?", "Describe it.", "Undo that.", "Turn it a quarter to the left.",
    ),
    ONLY: (
        "How old are you?", "What time is it?", "Where do you live?", "What is the weather?", "How are you?",
        "Tell me a story.", "What is two and two?", "What is your name?", "Do you like music?", "Where are you from?",
    ),
}  # fmt: skip

# Answer -> sentences to choose between trials by, as people type them.
CHOOSE: Final[Mapping[str, tuple[str, ...]]] = {
    GREETING: ("Good afternoon!", "Hey there", "Hi, nice to meet you.", "hello my friend"),
    CAN: ("What kinds of things can you make?", "who am i talking to?", "How can you help me?", "Show your features."),
    WELCOME: ("Thanks a bunch!", "thank you for drawing that", "I really appreciate it.", "Cheers!"),
    GLAD: ("This is really cool!", "wow, amazing work", "That turned out great.", "I'm impressed."),
    GOODBYE: ("Talk to you later!", "ok bye", "I have to go now.", "Have a nice day!"),
    WHICH: (
        "Can you make it a bit brighter?", "what's in this picture?", "Flip it vertically.",
        "Remove the background noise.", "Rotate it by 90 degrees.",
    ),
    ONLY: (
        "What's the capital of Spain?", "How are you doing today?", "Tell me a joke about cats",
        "Do you believe in ghosts?", "can you write me an email?",
    ),
}  # fmt: skip

_FRIEND: Final = "friend|my dear|robot|computer|machine|model|everyone|everybody|little one|buddy|dear|sir|again"
_NICE: Final = (
    "nice|good|beautiful|lovely|wonderful|perfect|excellent|pretty|cute|funny|fine|brilliant|cool|super|fantastic|"
    "very good|very nice|so good|really good|really nice|awesome|very pretty|so cute|fun|interesting"
)
_WORK: Final = "picture|sound|drawing|answer|result|image|colours"
_TOPIC: Final = (
    "physics|history|politics|football|mathematics|cooking|space|dinosaurs|money|love|the weather|the news|the stars|"
    "cars|books|films|computers|languages|grammar|the sea|animals|plants|religion|art|sport|travel|medicine|the law|"
    "my homework|taxes|climate change|chess|philosophy|poetry|health|school|work|Rome|Africa|the moon landing"
)
_NUMBER: Final = "one|two|three|four|five|seven|ten|twelve|3|8|15|100"
_IT: Final = "it|this|that|this one|that one"

_PATTERNS: Final[Mapping[str, tuple[str, ...]]] = {
    GREETING: (
        "[Hello|Hi|Hey|Hallo|Hiya|Howdy|Greetings|Welcome|Hi hi|Hello hello|Yo].",
        f"[Hello|Hey|Hiya|Howdy|Hi|Greetings] [{_FRIEND}].",
        "[Hello|Hi|Hey] [you|all|you there|dear model|over there|from me|to you|once more].",
        "Good [morning|evening|day][| to you| everyone| friend| again| to all| dear robot].",
        "[A very good|A good] [morning|evening|day] to you.",
        "[Hello|Hey|Good morning|Good evening|Good day], [nice to see you|I am here|I am back|it is me|I am new here].",
        "[Hello|Hi|Hey], [are you there|can you hear me|are you awake|is anyone there|shall we begin]?",
        "[Nice|Good|Lovely|Glad|Happy] to [see|hear from] you.",
        "[Pleased|Delighted] to meet you.",
        "[Morning|Evening|Good day|Hello again|Hi again|Knock knock|Here I am|I am back].",
        "Is [anyone|anybody|somebody|someone] [there|here|home]?",
        "[Are you there|Are you awake|Are you ready|Can you hear me|Can we start|Shall we start|Shall we begin]?",
        "[Hello, my|Hi, my|My] name is [Anna|Tom|Maria|Peter|Sam|Lena|Ali|Noor|Kim].",
        "[Hello, |Hi, |Hey, ]I am [Anna|Tom|Maria|Peter|Sam|Lena|Ali|Noor|Kim].",
        "Let us [begin|start|talk|go].",
    ),
    CAN: (
        "[Who|What] are you?",
        "What can you [do|make|draw|show me|do for me|do with pictures|do with sounds|offer|play|do here]?",
        "What [else can you do|are you able to do|could you do for me|do you do|do you offer|is possible here]?",
        "What are you [able to do|good at|good for|made for|here for|capable of|meant for|useful for]?",
        "What [kind|sort] of [thing|program|model|assistant|robot|machine] are you?",
        "[Help|Help me|Help, please|I need help|I need some help|Please help me|I am lost|I do not know what to do].",
        "[Can|Could|Will] you help[| me| me, please| a beginner| us]?",
        "[What now|What do I do|What should I do|What should I ask|What can I ask|What can I say|Any ideas]?",
        "How do [you work|I use you|I use this|I start|I begin|I talk to you|I ask you|you make pictures]?",
        "How does [this|it all|this program|this model|this thing] work?",
        "[Tell|Show] me [who you are|what you are|what you do|how you work|how this works|what you are good at].",
        "[Tell me about yourself|Introduce yourself|Describe yourself|Explain yourself|Say something about yourself].",
        "[Show me|Tell me|List|Name] your [skills|talents|abilities|functions|options|commands|tricks].",
        "What are your [skills|talents|abilities|functions|options|commands|tricks|strengths]?",
        "Can you [draw|paint|make pictures|make sounds|hear|see|edit pictures|change pictures|play sounds]?",
        "Can you [do anything|do more|do something|describe pictures|listen|look at pictures|talk]?",
        "Are you [a robot|a computer|a program|an AI|a machine|a person|human|a model|an assistant|an artist|real]?",
        "Do you [know how to draw|draw|paint|make pictures|make sounds|edit pictures|understand pictures]?",
        "What [is this program|is this model|is this thing|is this place|happens here|is all this] [|for]?",
        "[Give me|I need|I would like] [an overview|instructions|an introduction|a manual|a list of commands|a hint].",
    ),
    WELCOME: (
        "[Thank you|Thanks|Thx|Danke|Merci|Gracias|Much obliged].",
        "[Thank you|Thanks] [very much|so much|a lot|a million|again|kindly|indeed|a ton|ever so much].",
        "[Thank you|Thanks] [very much |so much |a lot |]for [that|this|it|your help|the help|everything|your time].",
        "[Thank you|Thanks] for the [picture|sound|drawing|answer|change|noise|quick answer|nice picture].",
        "[Thank you|Thanks] for [helping|helping me|making it|showing me|trying|playing that|changing it].",
        f"[Thank you|Thanks], [that is|it is|this is] [{_NICE}].",
        f"[Thank you|Thanks], [{_FRIEND}].",
        "[Thank you|Thanks], [that helps|that is all|that is enough|that will do|I like it|well done|good work].",
        "[Well done|Good job|Good work|Great work|Perfect|Good|Great|Nice|Lovely|Okay|Fine|Wow], [thanks|thank you].",
        "[A thousand|A million|A big|Lots of|My|With] thanks.",
        "[I thank you|I am grateful|I am very grateful|I am so thankful|I owe you one|Thanks to you].",
        "[Much|Greatly|Highly|Very much] appreciated.",
        "I [appreciate that|appreciate your help|appreciate this|do appreciate it|am much obliged].",
        "That [is|was] [kind|very kind|nice|so kind|so nice|good|sweet] of you[|, thank you|, thanks].",
        "You [are|were|have been] [very helpful|so helpful|a great help|a big help|very kind|so kind].",
        "[I want to thank you|Let me thank you|May I thank you|I must thank you] [|for this|for your help|again].",
    ),
    GLAD: (
        f"[I like|I love|I really like|I do like|I adore] [{_IT}|what you made|how it looks|how it sounds|it a lot].",
        f"[I like|I love|I really like|I enjoy] [the|your] [{_WORK}].",
        f"[That|This|It] is [{_NICE}].",
        f"[That|This|It] [looks|sounds] [{_NICE}].",
        f"[The|Your] [picture|sound|drawing|answer|result|image] is [{_NICE}].",
        f"What a [nice|lovely|beautiful|great|good|funny|wonderful] [{_WORK}].",
        f"[Wow|Oh|Yes|Ah|Ha], [{_NICE}].",
        f"[{_NICE}].",
        "[Well done|Bravo|Wow|Nice one|Good one|Splendid|Marvellous|Superb|Hooray|Yay|Not bad|Well made|Well drawn].",
        "[Very|So|How|Really|Quite] [good|nice|beautiful|lovely|pretty|funny|cute|cool|clever|fine].",
        "[Good|Nice|Great|Excellent|Fine|Lovely|Beautiful] [job|work|picture|drawing|result|answer|sound].",
        "You are [good|very good|great|clever|so good|talented|an artist|the best|brilliant][| at this].",
        "[You did|You have done] [well|very well|a good job|it right|a great job].",
        "[Exactly|Just] what I [wanted|meant|asked for|had in mind|was looking for|needed].",
        "I am [happy with it|very happy with this|pleased|very pleased|delighted|satisfied|amazed|so happy with it].",
        "[It|This|That] [is just right|is as I wanted|made me smile|makes me happy|is my favourite|worked|is right].",
        "[My children|We|All of us|My friends|I] [love|like|enjoy] [it|this|that].",
    ),
    GOODBYE: (
        "[Goodbye|Bye|Bye bye|Farewell|So long|Ciao|Adieu|Cheerio|Good night|Take care|See you|Later|Bye now].",
        f"[Goodbye|Bye|Bye bye|Good night|Farewell|Take care], [{_FRIEND}].",
        "[Goodbye|Bye|Good night|Farewell], [sleep well|until tomorrow|until next time|for now|then|I am off|all].",
        "See you [soon|later|tomorrow|again|around|next time|next week|on Monday|then|in the morning].",
        "I [must|need to|want to|will|should|had better] [go|leave|stop|sleep|go home|leave now|go to bed|finish].",
        "I have to [leave|stop|sleep|go home|leave now|go to bed|finish|catch a train|get back to work].",
        "Have a [good|great|lovely] [day|evening|night|weekend|time|trip].",
        "[That is all|That was all|I am done|We are done|Enough|I am finished|That will be all][| for today| for now].",
        "[Until|Till] [tomorrow|next time|later|then|we meet again|next week|soon].",
        "[Speak|Talk] to you [soon|tomorrow|again|next week].",
        "I am [leaving|off|going home|going to bed|going|going to sleep|out of time|off to bed|leaving now].",
        "[Sleep well|Sweet dreams|Good night, sleep well|Time for bed|Time to go|The end|Let us stop here].",
        "[It was|It has been] [nice|good|fun|a pleasure|lovely] [to meet you|talking to you|to talk], [bye|goodbye].",
        "[I will|We will] [come back|be back|return|see you] [later|tomorrow|soon|another day].",
        "[Okay|All right|Well|So|Right], [goodbye|good night|see you|I am going|that is all].",
    ),
    WHICH: (
        "[Change|Edit|Fix|Improve|Rotate|Flip|Mirror|Turn|Colour|Move|Invert|Shift|Tip|Repaint|Redo] [it|this|that].",
        "[Can|Could] you [change|edit|fix|improve|rotate|flip|mirror|describe|explain|repeat] [it|this|that]?",
        "Please [change|edit|fix|improve|rotate|flip|mirror|describe|name|darken] [it|this one|that one|the picture].",
        "[Undo|Cancel|Revert|Take back|Keep|Repeat] [it|that|this|the last step|the last change].",
        "[Undo|Go back|Back|One step back|As it was before|Again|Once more|Do it again|The same again].",
        f"What is [{_IT}|that thing|on it|shown here|to be seen here|the name of it]?",
        f"Who is [{_IT}|that person|on it|shown here|in the photo]?",
        "What do you [see|hear|see here|hear there|see in it|hear in it|see there|think it is]?",
        f"What does [{_IT}] [show|mean|say|sound like|look like]?",
        "[Describe|Explain|Name|Caption] [it|this|that|the picture|this sound|the sound|the image|this image].",
        "[Do|Apply] the same [again|editing|to this|to this one|with this one|with the next one|once more].",
        "[Make|Turn] it [bigger|smaller|red|blue|green|round|nicer|different|better|yellow|white|sharper|older].",
        "Make [it|this|that|the picture|the image] [lighter|larger|look old|more colourful|less red|more blue|smooth].",
        "Make the [sound|noise|music|tone] [shorter|longer|clearer|quieter|sharper|deeper|sadder].",
        "[What colour|How big|How loud|How old|Which style|What shape] is [it|this|that]?",
        "Is [it|this|that] [a man|a dog|a sound|a picture|red|a drum|a face|loud|a bell|a woman]?",
        "How many [things|people|colours|sounds|faces|animals] are [there|in it|on it|here]?",
        "Which [instrument|animal|thing|sound|person|colour] is [it|this|that]?",
        "[Show|Play|Draw] [it|this|that|the other one|the last one|it once more|it to me|the first one].",
        "[Now|Next|And now] [the other one|the same again|the next one|without colour|with colour|in blue|in red].",
    ),
    ONLY: (
        "How [old|tall|big|heavy|fast|far away|smart|rich|tired|busy] are you?",
        "How are you[| today| feeling| this morning| tonight| then]?",
        "How [is|was] [your day|life|everything|your weekend|the weather|work|your family|the food]?",
        "What [time is it|day is it|year is it|month is it|date is it|time do you get up|is going on|is new]?",
        "What is [the time|the date|the weather|the weather like|the news|your name|your age|your favourite colour]?",
        "What is [the meaning of life|love|gravity|happiness|a verb|the best film|the price of bread|an atom]?",
        "What is the capital of [France|Italy|Japan|Peru|Kenya|Norway|Egypt|Canada]?",
        f"What is [{_NUMBER}] [and|plus|times|minus] [{_NUMBER}]?",
        "Where [do you live|were you born|are you|is Paris|is my phone|is the station|are my keys|are we|is Peru]?",
        "Where can I [buy bread|eat|sleep|park|find a doctor|find work|learn English|go tonight]?",
        "[Tell me|Write me|Read me|Give me|Read|Write] a [story|joke|poem|letter|recipe|fact|secret|riddle|tale].",
        "[Tell me|Write|Read me|Invent] a [story|poem|song|tale] about [dogs|love|the sea|a king|the moon|winter].",
        "[Write|Read|Send|Check] [an email|a letter|some code|an essay|my messages|a report|the news|a message].",
        "Do you [like|love|know|hate|prefer] [music|football|winter|pizza|books|films|me|children|school|Mozart|tea]?",
        "Do you have [a family|children|friends|a dog|a job|feelings|a body|a brother|parents|money|a name|time]?",
        "Do you [sleep|eat|dream|drink|get tired|speak German|play chess|go out|feel pain|think|learn|remember me]?",
        "Do you believe in [God|love|luck|magic|fate|aliens]?",
        "Who [is the president|won the match|wrote Hamlet|made you|built you|is your father|is Einstein|am I]?",
        "When [is Christmas|does the train leave|were you made|is lunch|is my birthday|did Rome fall|is Easter]?",
        "Why [is the sky blue|do we sleep|do cats purr|is water wet|am I here|do birds sing|is it so cold]?",
        f"[Explain|Tell me about|What do you know about|Teach me|Talk about|Write about|Let us talk about] [{_TOPIC}].",
        f"What do you think [about|of] [{_TOPIC}]?",
        f"[Can you explain|Are you interested in|Do you understand|Can you teach me] [{_TOPIC}]?",
        "[Translate this|Say it|Say hello|Write|Count|Say good morning] in [German|French|Latin|Spanish|Chinese].",
        "[Book me a flight|Order a pizza|Call my mother|Find a hotel|Buy some milk|Set a timer|Wake me at seven].",
        "[Turn on the light|Search the web|Open the door|Clean my room|Drive me home|Cook dinner|Do my homework].",
        "Will it [rain|snow|be warm|be sunny] [today|tomorrow|on Sunday|tonight|next week]?",
        "Is it [raining|cold|late|snowing|dark|warm|windy] [today|outside|there|now]?",
        "[Should I|Shall I|Can I|May I] [go out|buy a car|eat now|call her|sleep|learn French|ask you something]?",
        "I am [hungry|tired|bored|sad|cold|ill|thirsty|lonely|angry|in love|late|afraid].",
    ),
}


@cache
def trained_sentences(answer: str) -> tuple[tuple[str, ...], ...]:
    """Return what training says to bring about an answer, by pattern.

    >>> {"Hello.", "Hello there."} <= {said for group in trained_sentences(GREETING) for said in group}
    True
    """
    patterns: list[Sequence[str]] = [TALK[answer][:-1], *map(_expanded, _PATTERNS[answer])]
    if answer == WHICH:
        patterns += _edits_of_nothing()
    kept = (tuple(said for said in found if not _is_held_out(said)) for found in patterns)
    return tuple(group for group in kept if group)


def loosely(rng: random.Random, text: str) -> str:
    """Write a sentence as people type: every second time as it stands, else with other case or punctuation.

    >>> {loosely(random.Random(seed), "What is this?") for seed in range(9)} >= {"What is this?", "what is this?"}
    True
    """
    if rng.random() < 0.5:
        return text
    if rng.random() < 0.3:
        text = _IS.sub(r"\1's", _AM.sub("I'm", text))
    if rng.random() < 0.6:
        text = text[:1].lower() + text[1:]
    end = text[-1] if text[-1] in ".?!" else ""
    return text.removesuffix(end) + rng.choice(("", end, "!" if end == "." else end))


def normal(text: str) -> str:
    """Return the words of a sentence alone, in lower case, between spaces.

    >>> normal("What's this, HERE?")
    ' what is this here '
    """
    plain = text.lower().replace("\u2019", "'").replace("'s", " is").replace("'m", " am").replace("'re", " are")
    return f" {' '.join(re.findall(r'[a-z0-9]+', plain))} "


_IS: Final = re.compile(r"\b([Ww]hat|[Ww]ho|[Ww]here|[Hh]ow|[Tt]hat|[Ii]t) is\b")
_AM: Final = re.compile(r"\bI am\b")


def _expanded(pattern: str) -> tuple[str, ...]:
    """Return the sentences of a pattern.

    >>> _expanded("[Hello|Hi][| you].")
    ('Hello.', 'Hello you.', 'Hi.', 'Hi you.')
    """
    parts = [part.split("|") if odd % 2 else [part] for odd, part in enumerate(re.split(r"[\[\]]", pattern))]
    sentences = ("".join(chosen) for chosen in product(*parts))
    return tuple(dict.fromkeys(_sentence(re.sub(r" +(?=[ .?,])", "", text)) for text in sentences))


def _edits_of_nothing() -> list[Sequence[str]]:
    """Every way to ask for a change of a picture or sound that is not there, in the frames that training knows."""
    names = [*PIXEL_EDITS, "tone/none/dark", "tone/dark/none", "style/noto/twemoji", "gender/man/woman"]
    asked = [phrasings(name) for name in names] + [effect.phrasings for effect in SOUND_EFFECTS.values()]
    named = ("the bell", "the drum", "the dog", "a crow", "a guitar", "the piano")
    asked.append(tuple(said.format(name) for said in (*ADD_PHRASINGS, *DROP_PHRASINGS) for name in named))
    frames = (*FRAMES, *MORE_FRAMES)
    framed = [
        [_sentence(frame.format(said)) for said in group for frame in frames if not is_held_out(said, frame)]
        for group in asked
    ]
    return list(framed)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


@cache
def _held_out() -> tuple[str, ...]:
    """The words of all sentences that are never trained."""
    return tuple(normal(said) for answer in TALK for said in (TALK[answer][-1], *CHOOSE[answer]))


def _is_held_out(said: str) -> bool:
    words = normal(said)
    return any(words == other or (other.count(" ") > 2 and other in words) for other in _held_out())
